import type { FunctionPlan, ImagePlan, PartPlan, TaskPlan } from "../../../parts/plan.ts";
import { checkSidecars, programsOf, type SidecarPlan } from "../../../parts/sidecar.ts";
import type { Problem } from "../../../shared/problem.ts";
import { formatBytes } from "../../../shared/size.ts";

type Find = (name: string) => PartPlan | undefined;

const MB = 2 ** 20;
const GB = 2 ** 30;

/** An image that a worker calls. */
type Sidecar = SidecarPlan & { readonly program: { readonly image: ImagePlan } };

/** The images that run beside a function. */
export const sidecarsOf = (plan: FunctionPlan, find: Find): readonly Sidecar[] =>
  programsOf(plan, find).filter((one): one is Sidecar => "image" in one.program);

/** Lambda ends what takes longer, in seconds. https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html */
const LAMBDA_SECONDS = 900;

/** Whether a task's attempts run in containers: they take longer than Lambda allows, or have an image beside them. */
export function isContained({ timeout, worker }: TaskPlan, find: Find): boolean {
  const plan = find(worker);
  return timeout > LAMBDA_SECONDS || (plan?.kind === "function" && sidecarsOf(plan, find).length > 0);
}

/** What a worker and the images beside it take together. */
export function taken(plan: FunctionPlan, sidecars: readonly Sidecar[]): Pick<FunctionPlan, "cpu" | "memory" | "disk"> {
  const sum = (field: "cpu" | "memory" | "disk") => [plan, ...sidecars].reduce((total, one) => total + one[field], 0);
  return { cpu: sum("cpu"), memory: sum("memory"), disk: sum("disk") };
}

/** Containers that ended are started again after this many seconds, the fewest there are. https://docs.aws.amazon.com/AmazonECS/latest/developerguide/container-restart-policy.html */
const RESTART_SECONDS = 60;

/**
 * The container of an image: it is gone when the worker's is.
 *
 * @param logging the worker's, under another prefix
 * @see https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html
 */
export function sidecarDefinition({ name, program, cpu, memory, environment }: Sidecar, logging: object): object {
  const { reference, command, port } = program.image;
  return {
    name: name.replace(/[^A-Za-z0-9_-]/g, "-"),
    image: reference,
    essential: false,
    restartPolicy: { enabled: true, restartAttemptPeriod: RESTART_SECONDS },
    cpu: Math.floor(cpu * 1024),
    memory: memory / MB,
    ...(command.length > 0 && { command }),
    environment: Object.entries({ ...environment, PORT: String(port) }).map(([name, value]) => ({ name, value })),
    logConfiguration: logging,
  };
}

/** What one Fargate task has at most. https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html#fargate-tasks-size */
const MOST = { cpu: 16, memory: 120 * GB, disk: 199 * GB } as const;

/** What is wrong with the images that a function calls. */
export function checkPrograms(plan: FunctionPlan, find: Find): readonly Problem[] {
  const sidecars = sidecarsOf(plan, find);
  if (plan.role?.duty !== "worker") {
    return sidecars.map(({ name }) => ({
      path: `${name}.program.image`,
      message: `an image runs beside a task's handler, on Fargate, and ${plan.name} is no task: make it one`,
    }));
  }
  return [...checkSidecars(sidecars), ...checkTogether(plan, sidecars)];
}

function checkTogether(plan: FunctionPlan, sidecars: readonly Sidecar[]): readonly Problem[] {
  if (sidecars.length === 0) return [];
  const all = taken(plan, sidecars);
  const format = (field: keyof typeof MOST, value: number) => (field === "cpu" ? value : formatBytes(value));
  return (["cpu", "memory", "disk"] as const)
    .filter((field) => all[field] > MOST[field])
    .map((field) => ({
      path: `${plan.name}.${field}`,
      message: "with the images beside it more than a task of Fargate has",
      given: format(field, all[field]),
      allowed: `at most ${format(field, MOST[field])} together`,
    }));
}
