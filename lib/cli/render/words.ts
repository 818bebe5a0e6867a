import type { Action, LinkPlan, PartPlan, SourcePlan, TimingPlan } from "../../parts/plan.ts";
import { toDuration } from "../../shared/duration.ts";
import { formatBytes } from "../../shared/size.ts";
import { type Step, stepsOf } from "../../shared/workflow/definition.ts";

/** Each permission as a verb. */
const VERBS = {
  "bucket.read": "reads",
  "bucket.write": "writes",
  "bucket.remove": "removes from",
  "queue.send": "sends to",
  "queue.receive": "receives from",
  "table.read": "reads",
  "table.write": "writes",
  "secret.read": "reads",
  "volume.read": "reads",
  "volume.write": "writes",
  "function.invoke": "calls",
  "task.submit": "submits to",
  "task.read": "watches",
  "task.control": "controls",
  "workflow.start": "starts",
  "workflow.read": "watches",
  "workflow.control": "controls",
  "workflow.answer": "answers",
  "stream.read": "reads",
  "stream.produce": "appends to",
  "stream.claim": "keeps its place in",
} as const satisfies Record<Action, string>;

/** `reads and writes videos-outputs`. */
export const linkInWords = ({ part, actions }: LinkPlan): string =>
  `${actions.map((action) => VERBS[action]).join(" and ")} ${part}`;

/** `when an object appears in videos-uploads (prefix "in/")`. */
export function sourceInWords(source: SourcePlan): string {
  switch (source.type) {
    case "bucket.created": {
      const filter = [
        source.prefix && `prefix ${JSON.stringify(source.prefix)}`,
        source.suffix && `suffix ${JSON.stringify(source.suffix)}`,
      ].filter(Boolean);
      return `when an object appears in ${source.bucket}${filter.length > 0 ? ` (${filter.join(", ")})` : ""}`;
    }
    case "queue.received": {
      const batch = source.batch > 1 ? ` (up to ${source.batch} at once)` : "";
      return `when a message comes into ${source.queue}${batch}`;
    }
    case "schedule.fired":
      return `when ${source.schedule} comes round`;
    case "stream.consumed":
      return `when records come into ${source.stream} (up to ${source.batch} at once${source.group === undefined ? "" : `, as group ${source.group}`})`;
  }
}

export const timingInWords = (timing: TimingPlan): string =>
  "every" in timing ? `every ${toDuration(timing.every)}` : `cron ${timing.cron} ${timing.timeZone}`;

/** What a part does with others. */
export function relationsInWords(part: PartPlan): string {
  switch (part.kind) {
    case "function": {
      const failures = part.failures ? [`failures go to ${part.failures}`] : [];
      return [...Object.values(part.links).map(linkInWords), ...failures].join(", ");
    }
    case "task": {
      const tell = (outcome: string, names: readonly { readonly name: string }[]) =>
        names.length > 0 ? [`tells ${names.map(({ name }) => name).join(" and ")} of ${outcome}`] : [];
      return [`runs ${part.worker}`, ...tell("success", part.onSuccess), ...tell("failure", part.onFailure)].join(", ");
    }
    case "queue":
      return part.deadLetters ? `after ${times(part.attempts ?? 1, "receive")} to ${part.deadLetters}` : "";
    case "schedule":
      return timingInWords(part.timing);
    case "monitor":
      return part.alarms.map(({ part: watched, metric, above }) => `${metric} of ${watched} above ${above}`).join(", ");
    case "secret":
      return part.config ? `from config ${part.config}` : "";
    case "workflow":
      return [...new Set(stepsOf(part.definition).flatMap(doneBy))].map((name) => `calls ${name}`).join(", ");
    default:
      return "";
  }
}

/** The part that does a step. */
const doneBy = (step: Step): readonly string[] =>
  step.type === "function"
    ? [step.function]
    : step.type === "task"
      ? [step.task]
      : step.type === "callback"
        ? [step.ask.name]
        : [];

/** A part's own numbers, as far as a reader wants them. */
export function factsInWords(part: PartPlan): string {
  const facts = (...list: readonly (string | false | undefined)[]) => list.filter(Boolean).join(", ");
  const existing = part.existing && `existing ${part.existing}`;
  switch (part.kind) {
    case "function":
      return facts(
        toDuration(part.timeout),
        formatBytes(part.memory),
        part.concurrency !== undefined && `${part.concurrency} at once`,
        part.tools.length > 0 && `with ${part.tools.join(", ")}`,
      );
    case "task":
      return facts(
        toDuration(part.timeout),
        times(part.attempts, "attempt"),
        part.concurrency !== undefined && `${part.concurrency} at once`,
      );
    case "bucket":
      return facts(
        existing,
        part.expires !== undefined && `kept ${toDuration(part.expires)}`,
        part.versioned && "versioned",
        part.removable && "removable",
      );
    case "queue":
      return facts(
        existing,
        `hidden ${toDuration(part.visibility)}`,
        `kept ${toDuration(part.retention)}`,
        part.delay > 0 && `delayed ${toDuration(part.delay)}`,
      );
    case "stream":
      return facts(
        existing,
        existing === undefined && times(part.partitions, "partition"),
        existing === undefined && `kept ${toDuration(part.retention)}`,
        part.kafka?.instance !== undefined && `in ${part.kafka.instance}`,
      );
    case "table":
    case "volume":
      return facts(existing, part.removable && "removable");
    case "schedule":
      return facts(!part.enabled && "off");
    case "monitor":
      return facts(part.notify.length > 0 && `tells ${part.notify.map(({ name }) => name).join(", ")}`);
    case "secret":
      return facts(existing);
    case "workflow":
      return facts(toDuration(part.timeout), times(stepsOf(part.definition).length, "step"));
  }
}

const times = (count: number, word: string): string => `${count} ${word}${count === 1 ? "" : "s"}`;
