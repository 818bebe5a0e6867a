import type { Duration } from "../shared/duration.ts";
import type { Size } from "../shared/size.ts";
import { DEFAULTS } from "./defaults.ts";
import type { BackoffPlan } from "./plan.ts";
import type { Units } from "./units.ts";

/** How long to wait before the next try: exponential, with full jitter. */
export interface Backoff {
  /** @default "1 second" */
  readonly first?: Duration;
  /** @default 2 */
  readonly factor?: number;
  /** @default "5 minutes" */
  readonly longest?: Duration;
}

/** What a function needs of the machine. */
export interface Machine {
  /** @default "512 MB" */
  readonly memory?: Size;
  /** Scratch space. @default "512 MB" */
  readonly disk?: Size;
  /** Virtual CPUs. @default 0.5 */
  readonly cpu?: number;
}

/** What is asked of the machine, for how long, and how often. */
export interface MachineSpec extends Machine {
  readonly timeout?: Duration;
  readonly backoff?: Backoff;
}

/** What every function takes of the machine. */
export const MACHINE_OPTIONS = {
  memory: true,
  disk: true,
  cpu: true,
} satisfies Readonly<Record<keyof Machine, true>>;

/** What a function gets of the machine, and for how long. */
export const machinePlan = (
  { timeout, memory, disk, cpu = DEFAULTS.functionCpu, backoff }: MachineSpec,
  units: Units,
) => ({
  timeout: units.seconds("timeout", timeout, DEFAULTS.functionTimeout),
  memory: units.bytes("memory", memory, DEFAULTS.functionMemory),
  disk: units.bytes("disk", disk, DEFAULTS.functionDisk),
  cpu,
  backoff: backoffPlan(backoff, units),
});

export function backoffPlan(backoff: Backoff = {}, units: Units): BackoffPlan {
  const { first, factor = DEFAULTS.backoff.factor, longest } = backoff;
  units.options(backoff, BACKOFF_OPTIONS, "backoff");
  return {
    first: units.seconds("backoff.first", first, DEFAULTS.backoff.first),
    factor,
    longest: units.seconds("backoff.longest", longest, DEFAULTS.backoff.longest),
  };
}

const BACKOFF_OPTIONS = { first: true, factor: true, longest: true } satisfies Readonly<Record<keyof Backoff, true>>;
