import type * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { bundleFolder } from "../../../bundle/deployable.ts";
import { pythonArchive } from "../../../bundle/python.ts";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { FunctionPlan, ImagePlan, PartPlan } from "../../../parts/plan.ts";
import { checkSidecars, programsOf, type SidecarPlan } from "../../../parts/sidecar.ts";
import type { LinkAddress } from "../../../runtime/deployment.ts";
import type { Problem } from "../../../shared/problem.ts";
import { PYTHON_FOLDER, PYTHON_LIBRARIES, PYTHON_SERVER } from "../../../shared/program/python.ts";
import { OBJECT_NAME } from "./names.ts";
import { HEALTH_PORT } from "./network.ts";
import { appPath, type Sidecar } from "./pod.ts";
import type { Site } from "./shared.ts";

type Find = (name: string) => PartPlan | undefined;

const MB = 2 ** 20;

/** Python of the libraries' version, for people and machines that have no registry of their own. */
const PYTHON_IMAGE = "docker.io/library/python:3.13-slim";

/** The folder that a pod's code and tools are unpacked to has 1 GB, and zips lie there meanwhile. */
const UNZIPPED = 512 * MB;

/** Python functions listen from here on, wherever no image does. */
const FIRST_PORT = 9000;

/** A program of a handler's code is a container of its caller's pods. */
export const programPart = ({ name }: Scope): Built => ({ id: pulumi.output(name), address: {}, resources: {} });

/** A program beside its caller. */
interface Beside {
  readonly plan: SidecarPlan;
  /** Of the container, and of the folder of its code. */
  readonly name: string;
  readonly port: number;
}

function besideOf(plan: FunctionPlan, find: Find): readonly Beside[] {
  const programs = programsOf(plan, find);
  const taken = [HEALTH_PORT, ...programs.flatMap(({ program }) => ("image" in program ? program.image.port : []))];
  const free = Array.from({ length: taken.length + programs.length }, (_, index) => FIRST_PORT + index).filter(
    (port) => !taken.includes(port),
  );
  return programs.map((one, index) => ({
    plan: one,
    name: `program-${index + 1}`,
    port: "image" in one.program ? one.program.image.port : free[index]!,
  }));
}

/** Where a program is, if the part is one that runs beside the function. */
export function programAddress(plan: FunctionPlan, part: string, find: Find): LinkAddress | undefined {
  const beside = besideOf(plan, find).find((one) => one.plan.name === part);
  if (beside === undefined) return undefined;
  return {
    kind: "function",
    part,
    url: `http://127.0.0.1:${beside.port}`,
    timeout: String(beside.plan.timeout),
  };
}

/** The containers beside a function's own, with the code that is fetched for them. */
export const sidecarsOf = (site: Site, scope: Scope, plan: FunctionPlan): readonly Sidecar[] =>
  besideOf(plan, scope.plan).map((beside) => {
    const { program, memory, disk, cpu, environment } = beside.plan;
    const common = {
      name: beside.name,
      machine: { memory, disk, cpu },
      environment: { ...environment, PORT: String(beside.port) },
    };
    return "image" in program
      ? { ...common, ...imageOf(program.image) }
      : { ...common, ...pythonOf(site, scope, beside, common.environment) };
  });

const imageOf = ({ reference, command, gpu }: ImagePlan) => ({
  image: reference,
  args: command,
  ...(gpu && { gpu }),
});

/** Python serves the function as it does on a laptop, from what the bootstrap has fetched. */
function pythonOf(site: Site, scope: Scope, { name, plan }: Beside, environment: Readonly<Record<string, string>>) {
  const { python } = plan.program as Extract<SidecarPlan["program"], { readonly python: unknown }>;
  const archive = pythonArchive({
    python,
    target: { version: "3.13", cpu: "x64" },
    outdir: bundleFolder(),
    limit: { platform: "a pod", unzipped: UNZIPPED },
  });
  const folders = [PYTHON_FOLDER, PYTHON_LIBRARIES].map((folder) => `${appPath(name)}/${folder}`);
  return {
    image: site.settings.pythonImage ?? PYTHON_IMAGE,
    command: ["python3", "-c", PYTHON_SERVER, python.entry],
    environment: { ...environment, PYTHONPATH: folders.join(":"), PYTHONDONTWRITEBYTECODE: "1" },
    // Beside the function's own pods, and beside those that do it as a step of a workflow.
    code: site.once(`program ${plan.name}`, () => {
      const folder = `code/${scope.physicalName(OBJECT_NAME, plan.name)}`;
      return site.upload(archive, folder, `${plan.name}-code`, scope.options);
    }),
  };
}

type Affinity = kubernetes.types.input.core.v1.Affinity;

/**
 * The nodes whose graphics processors are what the programs ask for, by the labels that NVIDIA's discovery gives them.
 *
 * @see https://github.com/NVIDIA/k8s-device-plugin/blob/main/docs/gpu-feature-discovery/README.md
 */
export function gpuAffinity(sidecars: readonly Sidecar[]): Affinity | undefined {
  const gpus = sidecars.flatMap(({ gpu }) => gpu ?? []);
  if (gpus.length === 0) return undefined;
  const matchExpressions = gpus.flatMap(({ type, memory }) => [
    { key: "nvidia.com/gpu.product", operator: "In", values: [type] },
    // There is no "at least".
    { key: "nvidia.com/gpu.memory", operator: "Gt", values: [String(Math.ceil(memory / MB) - 1)] },
  ]);
  return {
    nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions }] } },
  };
}

/** https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set */
const LABEL_VALUE = /^[A-Za-z0-9](?:[\w.-]{0,61}[A-Za-z0-9])?$/;

/** What is wrong with the programs that a function calls. */
export function checkPrograms(plan: FunctionPlan, find: Find): readonly Problem[] {
  const programs = programsOf(plan, find);
  const gpus = programs.flatMap(({ name, program }) =>
    "image" in program && program.image.gpu ? [{ path: `${name}.program.image.gpu.type`, ...program.image.gpu }] : [],
  );
  return [
    ...checkSidecars(programs, [HEALTH_PORT]),
    ...gpus.flatMap(({ path, type }) => [
      ...(LABEL_VALUE.test(type)
        ? []
        : [
            {
              path,
              message: "the name of a product is wanted, as the label nvidia.com/gpu.product of a node has it",
              given: type,
              allowed: "NVIDIA-A10, Tesla-T4, …",
            },
          ]),
      ...(type === gpus[0]!.type
        ? []
        : [{ path, message: "a pod is on one node, which has one product", given: type, allowed: gpus[0]!.type }]),
    ]),
  ];
}
