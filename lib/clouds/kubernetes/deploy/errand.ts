import * as kubernetes from "@pulumi/kubernetes";
import type * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { TimingPlan } from "../../../parts/plan.ts";
import { shortHash } from "../../../shared/name.ts";
import type { Setup } from "../runtime/setup.ts";
import { programOf } from "./code.ts";
import { CRON_JOB_NAME } from "./names.ts";
import { plainEnvironment, podSpec, SMALL } from "./pod.ts";
import { cronSchedule } from "./schedule.ts";
import type { Site } from "./shared.ts";

/** Seconds that a small pod may take, its image and code included. */
const DEADLINE = 300;
/** Tries of a pod that fails: NATS may be on its way, too. */
const RETRIES = 6;

/**
 * Makes in NATS what a part needs there: a Job, named by what it sets up, so that something else is another Job.
 *
 * @see https://kubernetes.io/docs/concepts/workloads/controllers/job/
 */
export function setupJob(site: Site, scope: Scope, what: Omit<Setup, "replicas">): kubernetes.batch.v1.Job {
  const { replicas } = site.settings.nats;
  const text = JSON.stringify({ ...what, ...(replicas !== undefined && { replicas }) } satisfies Setup);
  const part = `${scope.name}-setup`;
  const name = `${scope.physicalName(CRON_JOB_NAME, scope.name, "setup")}-${shortHash(text)}`;
  return site.make(
    kubernetes.batch.v1.Job,
    part,
    {
      // One that has failed is made anew by the next deployment. https://github.com/pulumi/pulumi-kubernetes/pull/1575
      metadata: site.metadata(name, part, { annotations: { "pulumi.com/replaceUnready": "true" } }),
      spec: {
        backoffLimit: RETRIES,
        activeDeadlineSeconds: DEADLINE,
        template: {
          metadata: { labels: site.labels(part) },
          spec: podSpec(site, {
            account: site.setupAccount,
            code: site.errand("setup", () => programOf("setup")),
            environment: plainEnvironment(site, { MILLRACE_SETUP: text }),
            machine: SMALL,
            grace: 5,
            restart: "Never",
          }),
        },
      },
    },
    scope.options,
  );
}

/** What a CronJob's pod is to publish, and when. */
export interface Publishing {
  /** Logical name of the CronJob. */
  readonly name: string;
  readonly physical: string;
  readonly account: pulumi.Input<string>;
  readonly timing: TimingPlan;
  readonly enabled: boolean;
  readonly message: { readonly subject: string } & ({ readonly schedule: string } | { readonly listing: true });
}

/**
 * Publishes a call whenever its time has come. One that could not start within five minutes is left out.
 *
 * @see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/
 */
export function publishJob(site: Site, scope: Scope, publishing: Publishing): kubernetes.batch.v1.CronJob {
  const { name, physical, account, timing, enabled, message } = publishing;
  return site.make(
    kubernetes.batch.v1.CronJob,
    name,
    {
      metadata: site.metadata(physical, name),
      spec: {
        ...cronSchedule(timing),
        suspend: !enabled,
        // A time that comes while a pod is still on its way to tell of the one before is told too; looks are as good later.
        concurrencyPolicy: "listing" in message ? "Forbid" : "Allow",
        startingDeadlineSeconds: DEADLINE,
        successfulJobsHistoryLimit: 1,
        failedJobsHistoryLimit: 3,
        jobTemplate: {
          metadata: { labels: site.labels(name) },
          spec: {
            backoffLimit: RETRIES,
            activeDeadlineSeconds: DEADLINE,
            template: {
              metadata: { labels: site.labels(name) },
              spec: podSpec(site, {
                account,
                code: site.errand("publish", () => programOf("publish")),
                environment: plainEnvironment(site, { MILLRACE_PUBLISH: JSON.stringify(message) }),
                variables: [JOB_NAME],
                machine: SMALL,
                grace: 5,
                restart: "Never",
              }),
            },
          },
        },
      },
    },
    scope.options,
  );
}

/** It ends in the minutes since 1970 that the Job was due at, however late its pod starts. */
const JOB_NAME = {
  name: "MILLRACE_JOB",
  valueFrom: { fieldRef: { fieldPath: "metadata.labels['batch.kubernetes.io/job-name']" } },
} as const;
