import { DEFAULT_TOOLS, toolSource } from "../../../bundle/tool.ts";
import { checkLag } from "../../../parts/check.ts";
import type { Part } from "../../../parts/part.ts";
import type { FunctionPlan, MonitorPlan, PartPlan, WorkflowPlan } from "../../../parts/plan.ts";
import { authorityBytes } from "../../../parts/stream.ts";
import type { Problem } from "../../../shared/problem.ts";
import { formatBytes } from "../../../shared/size.ts";
import { stepsOf } from "../../../shared/workflow/definition.ts";
import { checkStream, checkStreamsOf, streamBytes } from "./check-streams.ts";
import { checkTriggers } from "./check-triggers.ts";
import { checkFlow } from "./flow-check.ts";
import { chunkDefinitions, type FlowWorld, flowDefinition } from "./flow-definition.ts";
import { checkBounds, wideMaps } from "./flow-estimate.ts";
import type { AlicloudSettings } from "./shared.ts";

/** https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/configure-environment-variables */
const ENVIRONMENT_BYTES = 4096;

/**
 * What only this cloud refuses, and no bound in its support data can say.
 *
 * @param parts what is to be checked now
 * @param all the stack's parts on this cloud, those included
 */
export function checkAlicloud(
  settings: AlicloudSettings,
  parts: readonly Part[],
  all: readonly Part[],
  find: (name: string) => PartPlan | undefined,
): readonly Problem[] {
  const names = new Set(parts.map(({ name }) => name));
  const plans = all.map(({ plan }) => plan);
  return [
    ...parts.flatMap(({ plan }) => checkPart(settings, plan, find)),
    ...checkTriggers(plans, (name) => names.has(name)),
  ];
}

function checkPart(
  settings: AlicloudSettings,
  plan: PartPlan,
  find: (name: string) => PartPlan | undefined,
): readonly Problem[] {
  const { kmsInstance, existing, tools } = settings;
  switch (plan.kind) {
    case "function":
      return [
        ...plan.tools
          .filter((tool) => (toolSource(tool, tools) ?? existing?.layers?.[tool]) === undefined)
          .map((tool) => ({
            path: `${plan.name}.tools`,
            message: `nobody says where "${tool}" comes from: alicloud({ tools: { "${tool}": { url, sha256 } } })`,
            allowed: `${Object.keys(DEFAULT_TOOLS).join(", ")}, and what the cloud's settings name`,
          })),
        ...checkEnvironment(plan, find),
        ...checkMounts(plan, find),
        ...checkStreamsOf(settings, plan, find),
        ...checkGpu(plan),
      ];
    case "monitor":
      return [...checkContacts(settings, plan), ...checkLag(plan, find)];
    case "stream":
      return checkStream(plan);
    case "secret":
      return plan.config !== undefined && !kmsInstance
        ? [
            {
              path: `${plan.name}.config`,
              message:
                "a new secret lies in a KMS instance, which is bought: name yours by alicloud({ kmsInstance: { id, key } }), or a secret you have by existing",
            },
          ]
        : [];
    case "workflow":
      return checkWorkflow(plan, find);
    case "volume":
      return plan.existing !== undefined && !existing?.network
        ? [
            {
              path: `${plan.name}.existing`,
              message:
                "a file system you have is in a network of yours: name it by alicloud({ existing: { network: { vpc, vswitch, securityGroup } } })",
            },
          ]
        : [];
    default:
      return [];
  }
}

const checkContacts = ({ contactGroups }: AlicloudSettings, { name, alarms }: MonitorPlan): readonly Problem[] =>
  alarms.length > 0 && contactGroups === undefined
    ? [
        {
          path: `${name}.alarms`,
          message:
            'alarms go to contact groups of CloudMonitor, by name: alicloud({ contactGroups: ["operators"] }), or contactGroups: [] for no alarms',
        },
      ]
    : [];

/** What is wrong with the definition here, or else with what it is compiled to. */
function checkWorkflow(plan: WorkflowPlan, find: (name: string) => PartPlan | undefined): readonly Problem[] {
  const timeoutOf = (part: string, kind: "function" | "task"): number => {
    const found = find(part);
    return found?.kind === kind ? found.timeout : 0;
  };
  const uncallable = stepsOf(plan.definition).flatMap((step) => {
    const called = step.type === "function" ? find(step.function) : undefined;
    return called?.kind === "function" && called.program
      ? [
          {
            path: `${plan.name}.steps.${step.name}`,
            message: "a program is called with bare payloads, and a step is more: have a function call it",
            given: called.name,
          },
        ]
      : [];
  });
  if (uncallable.length > 0) return uncallable;
  const bytes = BASE + addressBytes(plan);
  if (bytes > ENVIRONMENT_BYTES) {
    const message =
      "functions of ours have the names of all steps in their environment, and Function Compute allows 4 KB of it: shorten names, or make two workflows of it";
    const allowed = `at most ${ENVIRONMENT_BYTES} bytes`;
    return [{ path: `${plan.name}.steps`, message, given: `up to ${bytes} bytes`, allowed }];
  }
  const large = checkBounds(plan, (task) => timeoutOf(task, "task"));
  if (large.length > 0) return large;
  const helper = { arn: "helper", timeout: 60 };
  const maps = wideMaps(plan.definition, (task) => timeoutOf(task, "task"));
  const world: FlowWorld = {
    name: "flow",
    function: (part) => ({ arn: part, timeout: timeoutOf(part, "function") }),
    ...{ next: helper, task: () => helper, ask: () => helper },
    wide: { maps, flow: (map) => `flow-${map}`, batches: helper },
  };
  const flows = [flowDefinition(plan.definition, world), ...chunkDefinitions(plan.definition, world).values()];
  return flows.flatMap(checkFlow).map((problem) => ({ ...problem, path: `${plan.name}.${problem.path}` }));
}

/** https://www.alibabacloud.com/help/en/functioncompute/fc/product-overview/instance-types-and-usage-modes */
const GPU_TYPES: readonly string[] = ["fc.gpu.tesla.1", "fc.gpu.ampere.1", "fc.gpu.ada.1", "g1"];
const GB = 2 ** 30;

function checkGpu({ name, program }: FunctionPlan): readonly Problem[] {
  const gpu = program && "image" in program ? program.image.gpu : undefined;
  if (gpu === undefined) return [];
  const { type, memory } = gpu;
  const isWhole = memory > 0 && memory % GB === 0;
  const rules = [
    { field: "type", isKept: GPU_TYPES.includes(type), given: type, allowed: GPU_TYPES.join(", ") },
    { field: "memory", isKept: isWhole, given: formatBytes(memory), allowed: "a multiple of 1 GB" },
  ];
  return rules
    .filter(({ isKept }) => !isKept)
    .map(({ field, given, allowed }) => ({
      path: `${name}.program.image.gpu.${field}`,
      message: "outside what Function Compute has",
      given,
      allowed,
    }));
}

/** What may be written is the mount target's matter, and that of a file system of the user's is theirs. */
const checkMounts = ({ name, links }: FunctionPlan, find: (name: string) => PartPlan | undefined) =>
  Object.entries(links).flatMap(([link, { part, actions }]): readonly Problem[] => {
    const plan = find(part);
    if (plan?.kind !== "volume" || plan.existing === undefined || actions.includes("volume.write")) return [];
    return [
      {
        path: `${name}.links.${link}`,
        message: `"${part}" is a file system you have, whose mount target says what may be written: nothing here can make it read-only`,
        allowed: `mount(volume) without readOnly, with the domain of a mount target that only reads`,
      },
    ];
  });

/** With each name as long as its rule allows: what fits now fits whatever the stack is called. */
function checkEnvironment(plan: FunctionPlan, find: (name: string) => PartPlan | undefined): readonly Problem[] {
  const own = Object.entries(plan.environment).reduce((sum, [name, value]) => sum + bytesOf(name) + bytesOf(value), 0);
  const task = plan.role?.duty === "worker" ? find(plan.role.task) : undefined;
  const links = Object.entries(plan.links).map(
    ([name, { part, keys }]) => bytesOf(name) + addressBytes(find(part)) + (keys === undefined ? 0 : 16 + keys.length),
  );
  const topics = plan.sources.flatMap((source) => (source.type === "stream.consumed" ? [TOPIC] : []));
  const bytes = [
    own,
    BASE,
    ...topics,
    ...links,
    authorityBytes(plan, find),
    ...(task ? [addressBytes(task)] : []),
  ].reduce((sum, one) => sum + one);
  if (bytes <= ENVIRONMENT_BYTES) return [];
  return [
    {
      path: `${plan.name}.links`,
      message: "the environment of a function holds the addresses of its links, and Function Compute allows 4 KB of it",
      given: `up to ${bytes} bytes`,
      allowed: `at most ${ENVIRONMENT_BYTES} bytes: link fewer parts, or shorten environment`,
    },
  ];
}

const bytesOf = (text: string): number => Buffer.byteLength(text) + 2;

/** Region, account, log level, tools and sources. */
const BASE = 500;
/** A topic's name, with that of the stream. */
const TOPIC = 320;

/** Names at their longest, and the JSON around them. */
function addressBytes(plan: PartPlan | undefined): number {
  const name = plan?.name.length ?? 0;
  switch (plan?.kind) {
    case "bucket":
      return name + 63 + 90;
    case "queue":
      return name + 120 + 110;
    case "table":
      return name + 255 + 120;
    case "stream":
      return name + streamBytes(plan);
    case "workflow":
      // A map may have a flow of its own.
      return stepsOf(plan.definition).reduce(
        (sum, step) => sum + step.name.length + 1 + (step.type === "map" ? 129 : 0),
        name + 128 + 255 + 200,
      );
    case "task":
      return 2 * JSON.stringify(plan).length + 5 * 64 + 120 * (plan.onSuccess.length + plan.onFailure.length) + 500;
    default:
      return name + 64 + 110;
  }
}
