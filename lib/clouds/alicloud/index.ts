import type { ComponentResourceOptions } from "@pulumi/pulumi";
import { Cloud } from "../../parts/index.ts";
import { bucket } from "./deploy/bucket.ts";
import { checkAlicloud } from "./deploy/check.ts";
import { PORTS, runtimeFile } from "./deploy/code.ts";
import { functionPart } from "./deploy/function.ts";
import { monitor } from "./deploy/monitor.ts";
import { programFunction } from "./deploy/program.ts";
import { queue } from "./deploy/queue.ts";
import { schedule } from "./deploy/schedule.ts";
import { secret } from "./deploy/secret.ts";
import { type AlicloudSettings, Site } from "./deploy/shared.ts";
import { stream } from "./deploy/stream.ts";
import { table } from "./deploy/table.ts";
import { task } from "./deploy/task.ts";
import { volume } from "./deploy/volume.ts";
import { workflow } from "./deploy/workflow.ts";
import { support } from "./support.ts";

export type { Transform } from "../../parts/site.ts";
export type { AlicloudSettings, Existing } from "./deploy/shared.ts";

/**
 * Alibaba Cloud: Function Compute and the services around it, in one region of one account.
 *
 * @example
 * const cloud = alicloud({ region: "cn-hangzhou", contactGroups: ["operators"] });
 * new VideoTranscodePipeline("videos", { cloud, formats: ["mp4"] });
 * export const millrace = cloud.output;
 */
export function alicloud(settings: AlicloudSettings, opts?: ComponentResourceOptions): Cloud {
  const { region, account } = settings;
  const site = new Site(settings, () => cloud);
  const cloud: Cloud = new Cloud(
    {
      kind: "alicloud",
      support,
      check: (parts) => checkAlicloud(settings, parts, [...cloud.parts.values()], (name) => cloud.find(name)?.plan),
      buckets: {
        port: runtimeFile(PORTS.bucket!),
        endpoint: `https://oss-${region}.aliyuncs.com`,
        address: (part) => part.address,
        takesRolesOf: (other) => other.plan.kind === "alicloud" && other.account === account,
      },
      build: {
        bucket: (scope, plan) => bucket(site, scope, plan),
        queue: (scope, plan) => queue(site, scope, plan),
        function: (scope, plan) =>
          plan.program ? programFunction(site, scope, plan, plan.program) : functionPart(site, scope, plan),
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
    { region, ...(account !== undefined && { account }) },
    opts,
  );
  return cloud;
}
