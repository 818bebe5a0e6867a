import type { Scope } from "../../../parts/cloud.ts";
import type { TaskPlan, WorkflowPlan } from "../../../parts/plan.ts";
import { type NameRule, shortHash } from "../../../shared/name.ts";
import type { Site } from "./shared.ts";

/** A DNS label, which every object's name may be. https://kubernetes.io/docs/concepts/overview/working-with-objects/names/ */
export const OBJECT_NAME: NameRule = { max: 63, allowed: /[a-z0-9-]/, lowerCase: true };

/** The controller adds eleven characters to the names of its Jobs. https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ */
export const CRON_JOB_NAME: NameRule = { ...OBJECT_NAME, max: 52 };

/** Names of Workflows are 17 characters longer at most, and labels of Argo's, which have 63. */
export const FLOW_NAME: NameRule = { ...OBJECT_NAME, max: 46 };

/** Token of a subject, and name of a stream; short, for several make up one name. https://docs.nats.io/nats-concepts/jetstream/streams */
export const NATS_NAME: NameRule = { max: 63, allowed: /[a-z0-9-]/, lowerCase: true };

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html */
export const BUCKET_NAME: NameRule = { max: 63, allowed: /[a-z0-9-]/, lowerCase: true };

/** A part's name as a label: itself where labels allow it. https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/ */
export const labelValue = (name: string): string =>
  /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/.test(name) ? name : `part-${shortHash(name)}`;

/** Where calls of a function go; it need not be built yet. */
export const callSubject = (site: Site, scope: Scope, name: string): string =>
  `${site.prefix}.call.${scope.physicalName(OBJECT_NAME, name)}`;

/** Where a function that has no queue for it tells that something failed: a stream, if there is an alarm on that. */
export const failedSubject = (site: Site, scope: Scope, name: string): string =>
  `${site.prefix}.failed.${scope.physicalName(OBJECT_NAME, name)}`;
export const failedStream = (site: Site, scope: Scope, name: string): string =>
  `${site.prefix}-failed-${scope.physicalName(NATS_NAME, name)}`;

/** The CronJob that a task's Jobs are made from. */
export const workerName = (scope: Scope, { worker }: TaskPlan): string => scope.physicalName(CRON_JOB_NAME, worker);

/** A keeper's objects, its consumer and the last token of its subject. */
export const keeperName = (scope: Scope, { name }: TaskPlan | WorkflowPlan): string =>
  scope.physicalName(OBJECT_NAME, name, "keep");
