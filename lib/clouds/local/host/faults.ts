import { type Clock, sleep } from "../../../runtime/clock.ts";
import { type ErrorKind, MillraceError } from "../../../runtime/errors.ts";
import { type Duration, toMilliseconds } from "../../../shared/duration.ts";

/** Where faults can be put in, each with what it stands for. */
export const FAULT_POINTS = {
  "bucket.head": "a handler asks what is known of an object",
  "bucket.read": "a handler reads an object: get, stream or file",
  "bucket.list": "a handler lists objects",
  "bucket.put": "a handler's object is complete and about to appear",
  "bucket.piece": "a handler's piece of an upload is complete",
  "bucket.remove": "a handler removes an object",
  "queue.send": "a handler sends a message",
  "queue.receive": "a handler receives messages",
  "queue.acknowledge": "a handler acknowledges a message",
  "queue.extend": "a handler keeps a message hidden",
  "table.get": "a handler reads a row",
  "table.query": "a handler reads rows",
  "table.put": "a handler writes a row",
  "table.remove": "a handler removes a row",
  "stream.read": "a handler reads records of a partition",
  "stream.send": "a handler appends records",
  "stream.claim": "a handler claims a partition",
  "stream.commit": "a handler commits its place in a partition, with what came of it",
  "secret.value": "a handler reads a secret",
  "function.invoke": "a handler calls a function",
  "task.submit": "a handler starts a run",
  "task.get": "a handler looks at a run",
  "task.list": "a handler lists runs",
  "task.audit": "a handler reads what went into a run and came out",
  "task.stop": "a handler stops a run",
  "task.retry": "a handler retries a run",
  "workflow.start": "a handler starts a workflow's run",
  "workflow.get": "a handler looks at a workflow's run",
  "workflow.list": "a handler lists a workflow's runs",
  "workflow.stop": "a handler stops a workflow's run",
  "workflow.retry": "a handler retries a workflow's run",
  "workflow.answer": "a handler answers a callback",
  "function.start": "an invocation begins; the part is the function",
  "function.end": "an invocation has ended, and its answer is on the way; the part is the function",
  "bucket.created": "an object's event is delivered; the part is the function that gets it",
  "queue.received": "a batch of messages is delivered; the part is the function that gets it",
  "schedule.fired": "a schedule's event is delivered; the part is the function that gets it",
  "stream.consumed": "a batch of records is delivered; the part is the function that gets it",
} as const;
export type FaultPoint = keyof typeof FAULT_POINTS;

/** Where an event is on its way and no handler runs yet: it can come later, and come twice. */
const DELIVERY_POINTS: readonly FaultPoint[] = [
  "bucket.created",
  "queue.received",
  "schedule.fired",
  "stream.consumed",
];

/** A fault to put in. On the way to a function (the last four points) only `delay` and `duplicate` have a meaning. */
export interface FaultRule {
  readonly at: FaultPoint;
  /** The part's name. @default any */
  readonly part?: string;
  /** How often at most. @default without end */
  readonly times?: number;
  /** How many out of all it hits, 0 to 1, by the seed. @default all */
  readonly rate?: number;
  /** Whether it hits before the thing is done, or after, when only the answer is lost. @default before */
  readonly when?: "before" | "after";
  /** Fails with an error of this kind. @default no error */
  readonly error?: ErrorKind;
  /** Waits for this long first. @default no wait */
  readonly delay?: Duration;
  /** Kills the function's process on the spot. @default it lives */
  readonly kill?: boolean;
  /** Delivers an event that many times more. @default once */
  readonly duplicate?: number;
}

/** Failures that happen when asked to, the same again for the same seed. */
export class Faults {
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #rules: { readonly rule: FaultRule; left: number }[] = [];

  constructor({ clock, seed = 1 }: { readonly clock: Clock; readonly seed?: number }) {
    this.#clock = clock;
    this.#random = seededRandom(seed);
  }

  /**
   * Puts a fault in; the answer takes it out. Where several could hit, the first one put in does.
   *
   * @throws if a field's value is outside what is allowed
   */
  add(rule: FaultRule): () => void {
    checkRule(rule);
    const entry = { rule, left: rule.times ?? Number.POSITIVE_INFINITY };
    this.#rules.push(entry);
    return () => {
      const index = this.#rules.indexOf(entry);
      if (index >= 0) this.#rules.splice(index, 1);
    };
  }

  clear(): void {
    this.#rules.length = 0;
  }

  /** The rule that hits here and now, if one does; it has then been used once. */
  strike(at: FaultPoint, part: string): FaultRule | undefined {
    const hit = this.#rules.find(
      ({ rule, left }) =>
        left > 0 &&
        rule.at === at &&
        (rule.part === undefined || rule.part === part) &&
        (rule.rate === undefined || this.#random() < rule.rate),
    );
    if (hit) hit.left -= 1;
    return hit?.rule;
  }

  /**
   * Does the work, with the fault that hits it.
   *
   * @param kill ends the process of the function in question
   */
  async around<Result>(at: FaultPoint, part: string, work: () => Promise<Result>, kill: () => void): Promise<Result> {
    const rule = this.strike(at, part);
    if (!rule) return work();
    const result = rule.when === "after" ? await work() : undefined;
    if (rule.delay !== undefined) await sleep(this.#clock, toMilliseconds(rule.delay));
    if (rule.kill) kill();
    if (rule.error) throw faultError(rule);
    return rule.when === "after" ? (result as Result) : work();
  }
}

/** The error that a rule asks for, which says that it was asked for. */
export const faultError = ({ at, part, error = "failed" }: FaultRule): MillraceError =>
  new MillraceError(error, `injected fault at ${at}${part === undefined ? "" : ` of "${part}"`}`);

function checkRule({ at, times, rate, duplicate, delay, error, kill }: FaultRule): void {
  if (!Object.hasOwn(FAULT_POINTS, at)) {
    throw new Error(`fault.at: one of ${Object.keys(FAULT_POINTS).join(", ")}, got "${at}"`);
  }
  if (times !== undefined && !(Number.isInteger(times) && times > 0)) {
    throw new Error(`fault.times: a whole number from 1, got ${times}`);
  }
  if (rate !== undefined && !(rate >= 0 && rate <= 1)) throw new Error(`fault.rate: 0 to 1, got ${rate}`);
  if (duplicate !== undefined && !(Number.isInteger(duplicate) && duplicate > 0)) {
    throw new Error(`fault.duplicate: a whole number from 1, got ${duplicate}`);
  }
  const isDelivery = DELIVERY_POINTS.includes(at);
  if (duplicate !== undefined && !isDelivery) {
    throw new Error(`fault.duplicate: an event is delivered at ${DELIVERY_POINTS.join(", ")}, got "${at}"`);
  }
  if ((error !== undefined || kill) && isDelivery) {
    throw new Error(`fault.error, fault.kill: there is nobody to fail at "${at}"; use "function.start"`);
  }
  if (delay !== undefined) toMilliseconds(delay);
}

/** Mulberry32: small, and good enough to choose victims. https://gist.github.com/tommyettinger/46a874533244883189143505d203312c */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
