import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import { bundleFolder } from "../../../bundle/deployable.ts";
import { pythonArchive } from "../../../bundle/python.ts";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { FunctionPlan, ImagePlan, ProgramPlan, PythonPlan } from "../../../parts/plan.ts";
import { PYTHON_HANDLER } from "../../../shared/program/python.ts";
import { memoryOf } from "./function.ts";
import { FUNCTION_NAME, logGrant, role } from "./permissions.ts";
import type { Site } from "./shared.ts";

const MB = 2 ** 20;

/** A program of a handler's code: a Python function is a function of its own, an image a container beside its caller. */
export const programPart = (site: Site, scope: Scope, plan: FunctionPlan, program: ProgramPlan): Built =>
  "image" in program ? besideCaller(scope, plan, program.image) : pythonFunction(site, scope, plan, program.python);

/** Its caller makes the container. */
const besideCaller = ({ name }: Scope, { timeout }: FunctionPlan, { port }: ImagePlan): Built => ({
  id: pulumi.output(name),
  address: { url: pulumi.output(`http://127.0.0.1:${port}`), timeout: pulumi.output(String(timeout)) },
  resources: {},
});

/** Code, unpacked. https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html */
const UNZIPPED = 250 * MB;

/**
 * A function that may log and nothing else; it takes bare payloads.
 *
 * @see https://docs.aws.amazon.com/lambda/latest/dg/python-handler.html
 */
function pythonFunction(site: Site, scope: Scope, plan: FunctionPlan, python: PythonPlan): Built {
  const name = scope.physicalName(FUNCTION_NAME);
  const archive = pythonArchive({
    python,
    target: { version: "3.13", cpu: "x64" },
    called: "value",
    outdir: bundleFolder(),
    limit: { platform: "Lambda", unzipped: UNZIPPED },
  });
  const code = site.upload(archive, `code/${name}`, `${scope.name}-code`, scope.options);
  const logs = site.logGroup(`${scope.name}-logs`, `/aws/lambda/${name}`, scope.name, scope.options);
  const own = role(site, scope, "role", "lambda.amazonaws.com", [logGrant(logs)]);
  const { timeout, disk, concurrency, environment } = plan;
  const made = site.make(
    aws.lambda.Function,
    scope.name,
    {
      name,
      runtime: "python3.13",
      architectures: ["x86_64"],
      handler: `${PYTHON_HANDLER}.handler`,
      s3Bucket: code.bucket,
      s3Key: code.key,
      role: own.arn,
      timeout,
      memorySize: memoryOf(plan),
      ephemeralStorage: { size: disk / MB },
      environment: { variables: { ...environment } },
      ...(concurrency !== undefined && { reservedConcurrentExecutions: concurrency }),
      loggingConfig: { logFormat: "JSON", logGroup: logs.name, applicationLogLevel: "INFO", systemLogLevel: "INFO" },
      tags: site.tags(scope.name),
    },
    { ...scope.options, dependsOn: [own.policy] },
  );
  return {
    id: made.arn,
    address: { function: made.name, region: pulumi.output(site.region), bare: pulumi.output("true") },
    resources: { function: made, code, logs, role: own.role, policy: own.policy },
  };
}
