import type { Duration } from "../shared/duration.ts";
import { DEFAULTS } from "./defaults.ts";
import type { PartNames, Queue } from "./part.ts";
import type { QueuePlan } from "./plan.ts";
import type { Units } from "./units.ts";

/** A queue: at least once, in no promised order. */
export interface QueueSpec {
  /** How long a received message stays hidden from other receivers. @default "1 minute" */
  readonly visibility?: Duration;
  /** How long a message is kept. @default "4 days" */
  readonly retention?: Duration;
  /** How long every message waits before it can be received. @default it can be received at once */
  readonly delay?: Duration;
  /** Receives before a message goes to `deadLetters`. @default 5 */
  readonly attempts?: number;
  /** Where messages go that failed every attempt. @default they come back until `retention` ends */
  readonly deadLetters?: Queue;
  /** A queue you have already, by its physical name: used as it is, never changed. @default a new one is made */
  readonly existing?: string;
}

const OPTIONS = {
  visibility: true,
  retention: true,
  delay: true,
  attempts: true,
  deadLetters: true,
  existing: true,
} satisfies Readonly<Record<keyof QueueSpec, true>>;

export function queuePlan(names: PartNames, spec: QueueSpec, units: Units): QueuePlan {
  units.options(spec, OPTIONS);
  units.needs(spec, "attempts", "deadLetters");
  const { visibility, retention, delay, attempts = DEFAULTS.queueAttempts, deadLetters, existing } = spec;
  return {
    kind: "queue",
    ...names,
    visibility: units.seconds("visibility", visibility, DEFAULTS.queueVisibility),
    retention: units.seconds("retention", retention, DEFAULTS.queueRetention),
    delay: units.seconds("delay", delay, 0),
    ...(deadLetters && { attempts, deadLetters: deadLetters.name }),
    ...(existing !== undefined && { existing }),
  };
}
