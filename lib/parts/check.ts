import { toDuration } from "../shared/duration.ts";
import type { Problem } from "../shared/problem.ts";
import { formatBytes } from "../shared/size.ts";
import { DEFAULTS } from "./defaults.ts";
import type { BackoffPlan, FunctionPlan, MonitorPlan, PartPlan, SourcePlan } from "./plan.ts";
import { partOf } from "./source.ts";
import { type LimitName, type OptionFact, type Support, unitOf } from "./support.ts";

/** Finds a part of the same cloud by its name. */
export type FindPart = (name: string) => PartPlan | undefined;

/**
 * What a cloud refuses of these parts, read off its support data, and what cannot work between parts anywhere.
 *
 * @param find the parts they may refer to. @default these parts
 */
export const checkParts = (
  parts: readonly PartPlan[],
  support: Support,
  find: FindPart = finder(parts),
): readonly Problem[] =>
  parts.flatMap((part) => [
    ...checkPart(part, support),
    ...checkReferences(part, support, find),
    ...("backoff" in part ? checkBackoff(part.name, part.backoff) : []),
    ...(part.kind === "function" ? checkFunction(part, support, find) : []),
  ]);

function finder(parts: readonly PartPlan[]): FindPart {
  const byName = new Map(parts.map((part) => [part.name, part]));
  return (name) => byName.get(name);
}

function checkPart(part: PartPlan, support: Support): readonly Problem[] {
  const { title, parts } = support;
  const fact = parts[part.kind];
  if (fact.level === "refused") return [{ path: part.name, message: `${title} has no ${part.kind}: ${fact.how}` }];
  return Object.entries<OptionFact>(fact.options)
    .filter(([option]) => isChecked(part, option))
    .flatMap(([option, bound]) => checkOption(part.name, option, valueAt(part, option), bound, support));
}

/** An existing part is as it is; a worker's time and tries are its task's. */
const isChecked = (part: PartPlan, option: string): boolean =>
  part.existing !== undefined
    ? option === "existing"
    : !(part.kind === "function" && part.role?.duty === "worker" && (option === "timeout" || option === "attempts"));

/** The value of `timing.every` and the like. */
const valueAt = (part: PartPlan, option: string): unknown =>
  option
    .split(".")
    .reduce<unknown>((value, field) => (value as Readonly<Record<string, unknown>> | undefined)?.[field], part);

function checkOption(
  part: string,
  option: string,
  value: unknown,
  { level, how, min = -Infinity, max = Infinity, step, values }: OptionFact,
  { cloud, title }: Support,
): readonly Problem[] {
  const path = `${part}.${option}`;
  const given = typeof value === "number" && unitOf(option) ? formatOption(option, value) : value;
  if (level === "refused") return isAsked(value) ? [{ path, message: `${title} refuses this: ${how}`, given }] : [];
  const isNumber = min > -Infinity || max < Infinity || step !== undefined;
  const isListed = values === undefined || value === undefined || values.includes(value as never);
  const isWithin =
    typeof value === "number"
      ? value >= min && value <= max && (step === undefined || isMultiple(value, step))
      : value === undefined || !isNumber;
  if (isListed && isWithin) return [];
  const bounds = { min, max, ...(step !== undefined && { step }), ...(values !== undefined && { values }) };
  const allowed = `${formatBounds(option, bounds)}${step === 1 ? ", whole" : ""}`;
  if (isNumber && typeof value !== "number") return [{ path, message: "a number is wanted", given, allowed }];
  // How the local cloud does it explains no bound of its own.
  const message = `outside what ${title} allows${cloud === "local" ? "" : `: ${how}`}`;
  return [{ path, message, given, allowed }];
}

/** Left out, off, empty, or left at Millrace's default is not asked for. */
const isAsked = (value: unknown): boolean =>
  value !== undefined &&
  value !== false &&
  value !== 0 &&
  !(typeof value === "object" && value !== null && Object.keys(value).length === 0) &&
  JSON.stringify(value) !== JSON.stringify(DEFAULTS.backoff);

/** Steps such as 0.05 are no exact binary numbers. */
const isMultiple = (value: number, step: number): boolean =>
  Math.abs(value / step - Math.round(value / step)) < 1e-9 * Math.max(1, value / step);

/** A number as people write it in that option: `"15 minutes"`, `"512 MB"`. */
export function formatOption(option: string, value: number): string {
  switch (unitOf(option)) {
    case "seconds":
      return toDuration(value);
    case "bytes":
      return formatBytes(value);
    default:
      return String(value);
  }
}

/** What an option allows, in words: `"1 second to 12 hours"`; empty where nothing bounds it. */
export function formatBounds(option: string, { min, max, step, values }: Partial<OptionFact>): string {
  if (values) return values.map((value) => formatValue(option, value)).join(", ");
  const hasLeast = min !== undefined && min > -Infinity;
  const hasMost = max !== undefined && max < Infinity;
  const range =
    hasLeast && hasMost
      ? `${formatOption(option, min)} to ${formatOption(option, max)}`
      : hasLeast
        ? `at least ${formatOption(option, min)}`
        : hasMost
          ? `at most ${formatOption(option, max)}`
          : "";
  return step === undefined || step === 1 ? range : `${range}${range && ", "}in steps of ${formatOption(option, step)}`;
}

const formatValue = (option: string, value: string | number): string =>
  typeof value === "number" ? formatOption(option, value) : value;

function checkBackoff(part: string, { first, factor, longest }: BackoffPlan): readonly Problem[] {
  const rules = [
    { isKept: first >= 0, field: "first", given: toDuration(first), allowed: "at least 0 seconds" },
    { isKept: factor >= 1, field: "factor", given: factor, allowed: "at least 1" },
    {
      isKept: longest >= first,
      field: "longest",
      given: toDuration(longest),
      allowed: `at least the first wait, ${toDuration(first)}`,
    },
  ];
  return rules
    .filter(({ isKept }) => !isKept)
    .map(({ field, given, allowed }) => ({
      path: `${part}.backoff.${field}`,
      message: "a wait grows from the first to the longest",
      given,
      allowed,
    }));
}

/** The parts that must be on the same cloud. Links may lead to another one. */
function checkReferences(part: PartPlan, { title }: Support, find: FindPart): readonly Problem[] {
  return referencesOf(part)
    .filter(([, name]) => find(name) === undefined)
    .map(([field, name]) => ({
      path: `${part.name}.${field}`,
      message: `must be on the same cloud, ${title}`,
      given: name,
    }));
}

function referencesOf(part: PartPlan): readonly (readonly [field: string, part: string])[] {
  switch (part.kind) {
    case "queue":
      return part.deadLetters === undefined ? [] : [["deadLetters", part.deadLetters]];
    case "function":
      return [
        ...(part.failures === undefined ? [] : [["failures", part.failures] as const]),
        ...part.sources.map((source) => ["when", partOf(source)] as const),
      ];
    case "task":
      return [
        ...part.onSuccess.map(({ name }) => ["onSuccess", name] as const),
        ...part.onFailure.map(({ name }) => ["onFailure", name] as const),
      ];
    case "monitor":
      return [
        ...part.alarms.map((alarm) => ["alarms", alarm.part] as const),
        ...part.notify.map(({ name }) => ["notify", name] as const),
      ];
    default:
      return [];
  }
}

const checkFunction = (part: FunctionPlan, support: Support, find: FindPart): readonly Problem[] => [
  ...part.sources.flatMap((source) => [
    ...checkSource(part, source, support),
    ...(source.type === "queue.received" ? checkQueueSource(part, source, support, find) : []),
    ...(source.type === "stream.consumed" ? checkStreamSource(part, source, support) : []),
  ]),
  ...checkMachine(part, support),
  ...checkEnvironment(part, support),
];

function checkSource({ name }: FunctionPlan, { type }: SourcePlan, { title, sources }: Support): readonly Problem[] {
  const { level, how } = sources[type];
  return level === "refused" ? [{ path: `${name}.when`, message: `${title} has no ${type}: ${how}` }] : [];
}

/** A queue gives a message to somebody else when its visibility ends: the function has to be done by then. */
function checkQueueSource(
  { name, timeout }: FunctionPlan,
  { queue, batch, window }: Extract<SourcePlan, { readonly type: "queue.received" }>,
  support: Support,
  find: FindPart,
): readonly Problem[] {
  const found = find(queue);
  const isTooLong = found?.kind === "queue" && found.existing === undefined && timeout > found.visibility;
  return [
    ...(isTooLong
      ? [
          {
            path: `${name}.timeout`,
            message: `longer than messages of ${queue} stay hidden: others would get them meanwhile`,
            given: toDuration(timeout),
            allowed: `at most its visibility, ${toDuration(found.visibility)}`,
          },
        ]
      : []),
    ...checkLimit(`${name}.timeout`, "eventFunctionSeconds", timeout, support, "hand longer work to a task"),
    ...checkLimit(`${name}.when.batch`, "queueBatch", batch, support),
    ...checkLimit(`${name}.when.window`, "queueWindowSeconds", window, support),
  ];
}

const checkStreamSource = (
  { name, timeout }: FunctionPlan,
  { batch, window }: Extract<SourcePlan, { readonly type: "stream.consumed" }>,
  support: Support,
): readonly Problem[] => [
  ...checkLimit(`${name}.timeout`, "eventFunctionSeconds", timeout, support, "hand longer work to a task"),
  ...checkLimit(`${name}.when.batch`, "streamBatch", batch, support),
  ...checkLimit(`${name}.when.window`, "streamWindowSeconds", window, support),
];

/** What is wrong with alarms on lag, which is what a function has not consumed. */
export const checkLag = ({ name, alarms }: MonitorPlan, find: FindPart): readonly Problem[] =>
  alarms
    .filter(({ metric, part }) => metric === "lag" && !isConsumer(find(part)))
    .map(({ part }) => ({
      path: `${name}.alarms`,
      message: "lag is of a function that is started by a stream",
      given: part,
    }));

const isConsumer = (plan: PartPlan | undefined): boolean =>
  plan?.kind === "function" && plan.sources.some(({ type }) => type === "stream.consumed");

function checkLimit(
  path: string,
  limit: LimitName,
  value: number,
  { title, limits }: Support,
  advice?: string,
): readonly Problem[] {
  const bound = limits[limit];
  if (bound === undefined || value <= bound.value) return [];
  const allowed = `at most ${formatOption(limit, bound.value)}${advice === undefined ? "" : `; ${advice}`}`;
  return [{ path, message: `over a limit of ${title}: ${bound.how}`, given: formatOption(limit, value), allowed }];
}

function checkMachine({ name, memory, cpu }: FunctionPlan, { title, limits }: Support): readonly Problem[] {
  const { leastMemoryPerCpuBytes: least, mostMemoryPerCpuBytes: most } = limits;
  const isKept = memory >= cpu * (least?.value ?? 0) && memory <= cpu * (most?.value ?? Infinity);
  const fact = least ?? most;
  if (isKept || fact === undefined) return [];
  const from = least && formatBytes(Math.round(cpu * least.value));
  const to = most && formatBytes(Math.round(cpu * most.value));
  return [
    {
      path: `${name}.memory`,
      message: `${title} ties memory to cpu: ${fact.how}`,
      given: formatBytes(memory),
      allowed: `${from && to ? `${from} to ${to}` : from ? `at least ${from}` : `at most ${to}`} for a cpu of ${cpu}`,
    },
  ];
}

/** As `NAME=value` with its end, the way the services count; addresses of links come on top. */
function checkEnvironment({ name, environment }: FunctionPlan, support: Support): readonly Problem[] {
  const bytes = Object.entries(environment).reduce(
    (sum, [key, value]) => sum + Buffer.byteLength(`${key}=${value}\0`),
    0,
  );
  return checkLimit(`${name}.environment`, "environmentBytes", bytes, support);
}
