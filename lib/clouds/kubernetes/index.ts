import { type ComponentResourceOptions, output } from "@pulumi/pulumi";
import { Cloud } from "../../parts/index.ts";
import { refuse } from "../../shared/problem.ts";
import { bucket } from "./deploy/bucket.ts";
import { checkKubernetes, checkSettings } from "./deploy/check.ts";
import { PORTS, runtimeFile } from "./deploy/code.ts";
import { functionPart } from "./deploy/function.ts";
import { monitor } from "./deploy/monitor.ts";
import { queue } from "./deploy/queue.ts";
import { schedule } from "./deploy/schedule.ts";
import { secret } from "./deploy/secret.ts";
import { type KubernetesSettings, Site } from "./deploy/shared.ts";
import { stream } from "./deploy/stream.ts";
import { table } from "./deploy/table.ts";
import { task } from "./deploy/task.ts";
import { volume } from "./deploy/volume.ts";
import { workflow } from "./deploy/workflow.ts";
import { support } from "./support.ts";

export type { Transform } from "../../parts/site.ts";
export type { NetworkSettings, Way } from "./deploy/network.ts";
export { LOG_READER_RULES } from "./deploy/rbac.ts";
export type { Existing, KubernetesSettings, NatsSettings, StoreSettings } from "./deploy/shared.ts";

/**
 * Kubernetes, in one namespace of one cluster, with NATS for what is sent and remembered, an S3-compatible store for
 * what is kept, and KEDA.
 *
 * @throws ProblemsError with everything that is wrong with the settings.
 * @example
 * const cloud = kubernetes({
 *   nats: { url: "nats://nats.nats.svc.cluster.local:4222" },
 *   store: {
 *     endpoint: "https://s3.example.com",
 *     keys: { accessKey: config.requireSecret("accessKey"), secretKey: config.requireSecret("secretKey") },
 *   },
 *   alarms: "prometheus-operator",
 * });
 * new VideoTranscodePipeline("videos", { cloud, formats: ["mp4"] });
 * export const millrace = cloud.output;
 */
export function kubernetes(settings: KubernetesSettings, opts?: ComponentResourceOptions): Cloud {
  refuse(checkSettings(settings));
  const { cluster, store } = settings;
  const site = new Site(settings, () => cloud);
  const cloud: Cloud = new Cloud(
    {
      kind: "kubernetes",
      support,
      check: (parts) => checkKubernetes(settings, parts, (name) => cloud.find(name)?.plan),
      buckets: {
        port: runtimeFile(PORTS.bucket!),
        endpoint: store.endpoint,
        // Not the way that pods of its own cluster have.
        address: (part) => ({ ...part.address, endpoint: output(store.endpoint) }),
        takesRolesOf: () => false,
      },
      build: {
        bucket: (scope, plan) => bucket(site, scope, plan),
        queue: (scope, plan) => queue(site, scope, plan),
        function: (scope, plan) => functionPart(site, scope, plan),
        task: (scope, plan) => task(site, scope, plan),
        schedule: (scope, plan) => schedule(site, scope, plan),
        secret: (scope, plan) => secret(site, scope, plan),
        volume: (scope, plan) => volume(site, scope, plan),
        table: (scope, plan) => table(site, scope, plan),
        stream: (scope, plan) => stream(site, scope, plan),
        monitor: (scope, plan) => monitor(site, scope, plan),
        workflow: (scope, plan) => workflow(site, scope, plan),
      },
    },
    { ...(cluster !== undefined && { region: cluster }) },
    opts,
  );
  return cloud;
}
