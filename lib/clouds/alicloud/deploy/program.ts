import * as alicloud from "@pulumi/alicloud";
import * as pulumi from "@pulumi/pulumi";
import { bundleFolder } from "../../../bundle/deployable.ts";
import { type PythonLimit, pythonArchive } from "../../../bundle/python.ts";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { FunctionPlan, ImagePlan, ProgramPlan } from "../../../parts/plan.ts";
import { PYTHON_HANDLER } from "../../../shared/program/python.ts";
import { concurrency } from "./function.ts";
import { FUNCTION_NAME, logGrant, role } from "./permissions.ts";
import type { Site } from "./shared.ts";

const MB = 2 ** 20;

/** https://www.alibabacloud.com/help/en/functioncompute/fc/product-overview/limits-of-usage */
const LARGE_CODE: ReadonlySet<string> = new Set([
  ...["cn-hangzhou", "cn-shanghai", "cn-shenzhen", "cn-beijing", "cn-zhangjiakou", "cn-huhehaote", "cn-hongkong"],
  ...["ap-southeast-1", "ap-northeast-1", "us-east-1", "eu-central-1"],
]);
const limitOf = (region: string): PythonLimit => ({
  platform: `Function Compute in ${region}`,
  zipped: (LARGE_CODE.has(region) ? 500 : 100) * MB,
});

/** A program of a handler's code: a function of its own, which may log and nothing else. It takes bare payloads. */
export function programFunction(site: Site, scope: Scope, plan: FunctionPlan, program: ProgramPlan): Built {
  const own = role(site, scope, "role", "fc.aliyuncs.com", [logGrant(site)]);
  const { project, store } = site.logs;
  const { code, args } = "image" in program ? imageOf(plan, program.image) : pythonOf(site, scope, plan, program);
  const made = site.make(
    alicloud.fc.V3Function,
    scope.name,
    {
      functionName: scope.physicalName(FUNCTION_NAME),
      ...args,
      role: own.arn,
      timeout: plan.timeout,
      memorySize: plan.memory / MB,
      diskSize: plan.disk / MB,
      cpu: plan.cpu,
      // A call has its memory and its processor for itself.
      instanceConcurrency: 1,
      internetAccess: true,
      logConfig: { project, logstore: store, enableRequestMetrics: true, enableInstanceMetrics: true },
      tags: site.tags(scope.name),
    },
    { ...scope.options, dependsOn: [own.attachment] },
  );
  concurrency(site, scope, plan, made);
  return {
    id: made.functionName,
    address: {
      function: made.functionName,
      account: site.account,
      region: pulumi.output(site.region),
      bare: pulumi.output("true"),
    },
    resources: { function: made, ...(code && { code }), role: own.role, policy: own.policy },
  };
}

/** @see https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/custom-container-event-functions */
function imageOf({ environment }: FunctionPlan, { reference, command, port, gpu }: ImagePlan) {
  const args = {
    runtime: "custom-container",
    // Nothing of the image is called by it, and the service wants one.
    handler: "not-used",
    customContainerConfig: { image: reference, port, ...(command.length > 0 && { commands: [...command] }) },
    environmentVariables: { ...environment, PORT: String(port) },
    ...(gpu && { gpuConfig: { gpuType: gpu.type, gpuMemorySize: gpu.memory / MB } }),
  };
  return { args, code: undefined };
}

/** @see https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/event-handlers-2 */
function pythonOf(
  site: Site,
  scope: Scope,
  { environment }: FunctionPlan,
  { python }: Extract<ProgramPlan, { readonly python: unknown }>,
) {
  const archive = pythonArchive({
    python,
    target: { version: "3.12", cpu: "x64" },
    called: "bytes",
    outdir: bundleFolder(),
    limit: limitOf(site.region),
  });
  const code = site.upload(archive, `code/${scope.physicalName(FUNCTION_NAME)}`, `${scope.name}-code`, scope.options);
  const args = {
    runtime: "python3.12",
    handler: `${PYTHON_HANDLER}.handler`,
    code: { ossBucketName: code.bucket, ossObjectName: code.key },
    environmentVariables: { ...environment },
  };
  return { args, code };
}
