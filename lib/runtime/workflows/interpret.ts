import { setMaxListeners } from "node:events";
import type {
  Block,
  CallbackStep,
  ChoiceStep,
  MapStep,
  Origin,
  ParallelStep,
  RepeatStep,
  Step,
  TaskStep,
  Tries,
} from "../../shared/workflow/definition.ts";
import { holds, type Known, resolve } from "../../shared/workflow/mapping.ts";
import { sleep } from "../clock.ts";
import {
  type ErrorRecord,
  fromErrorRecord,
  isErrorKind,
  isRetryable,
  MillraceError,
  toErrorRecord,
} from "../errors.ts";
import { backoffMilliseconds } from "../tasks/definition.ts";
import type { StepEntry } from "./journal.ts";
import { Suspended, type WorkflowWorld } from "./world.ts";

/** A run to be done. */
export interface RunStart {
  readonly id: string;
  readonly definition: Block;
  readonly input: unknown;
  /** How often it was retried. @default never */
  readonly retries?: number;
}

/**
 * Does a run of a workflow, or goes on with it: the definition is gone through from its beginning, and a step whose end
 * is in the journal is answered from there. Time and memory grow with the number of steps, and with nothing else.
 *
 * @param signal stops it; what runs is asked to end first. With {@link Suspended} as its reason, the run can go on later.
 * @returns the run's output
 * @throws what the run failed with, or the signal's reason
 */
export async function interpret(run: RunStart, world: WorkflowWorld, signal: AbortSignal): Promise<unknown> {
  const known = new Map<Origin, unknown>([
    ["input", run.input ?? null],
    ["run", run.id],
  ]);
  try {
    return await new Interpreter(run, world).block(run.definition, { known, path: "", round: "", signal });
  } catch (error) {
    if (error instanceof EndOfRun) return error.output;
    throw error;
  }
}

/** Where a block is done. */
interface Place {
  readonly known: Known;
  /** Of its steps: what their paths begin with. */
  readonly path: string;
  /** Of its steps. */
  readonly round: string;
  readonly signal: AbortSignal;
}

/** Where a step is done, and what is written down of it. */
interface StepPlace {
  readonly known: Known;
  readonly trace: Trace;
  readonly signal: AbortSignal;
}

/** Thrown by `succeed`, through all that is around it. */
class EndOfRun extends Error {
  readonly output: unknown;

  constructor(output: unknown) {
    super("the run has succeeded");
    this.output = output;
  }
}

const ONCE: Tries = { attempts: 1, backoff: { first: 0, factor: 1, longest: 0 } };

class Interpreter {
  readonly #retries: number;
  readonly #world: WorkflowWorld;

  constructor({ retries = 0 }: RunStart, world: WorkflowWorld) {
    this.#retries = retries;
    this.#world = world;
  }

  async block({ steps, output }: Block, place: Place): Promise<unknown> {
    const known = new Map(place.known);
    for (const step of steps) known.set(`step:${step.name}`, await this.#step(step, { ...place, known }));
    return resolve(output, known);
  }

  async #step(step: Step, { known, path: around, round, signal }: Place): Promise<unknown> {
    const path = `${around}${step.name}`;
    const before = this.#world.journal.read(path);
    const entry = before?.round === round ? before : undefined;
    if (entry?.endsRun) throw new EndOfRun(entry.output);
    if (entry?.status === "succeeded" || entry?.status === "caught") return entry.output;
    const isOpen = entry?.retries === this.#retries;
    if (isOpen && entry.status === "failed") throw fromErrorRecord(entry.error!);
    // It was stopped because something beside it failed, which is about to be found out once more.
    if (isOpen && entry.status === "stopped") return abortOf(signal);
    if (!isOpen) signal.throwIfAborted();
    const trace = isOpen ? new Trace(entry, this.#world) : this.#begin(step, path, round, entry);
    return this.#tries(step, { known, trace, signal });
  }

  /** @param before the run's last retry */
  #begin(step: Step, path: string, round: string, before: StepEntry | undefined): Trace {
    const { clock, journal } = this.#world;
    const now = clock.now();
    const fresh: StepEntry = {
      ...{ path, round, step: step.name, retries: this.#retries, status: "running", tries: 1, since: now },
      started: before?.started ?? now,
      number: before?.number ?? journal.number(),
      attempts: (before?.attempts ?? 0) + 1,
      // What has succeeded inside is not done again.
      turn: before?.turn ?? 1,
      ...(before?.rounds !== undefined && { rounds: before.rounds }),
    };
    const trace = new Trace(fresh, this.#world);
    trace.note({});
    return trace;
  }

  async #tries(step: Step, place: StepPlace): Promise<unknown> {
    const { trace } = place;
    if (trace.entry.isCatching) return this.#catch(step, place);
    for (;;) {
      try {
        if (trace.entry.status === "retrying") await this.#nextTry(place);
        const output = (await this.#attempt(step, place)) ?? null;
        await trace.end({ status: "succeeded", output, error: undefined });
        return output;
      } catch (thrown) {
        if (!(await this.#triesAgain(step, place, thrown))) break;
      }
    }
    return this.#catch(step, place);
  }

  async #nextTry({ trace, signal }: StepPlace): Promise<void> {
    const { due = 0, tries, attempts, turn } = trace.entry;
    await this.#sleepUntil(due, signal);
    const since = this.#world.clock.now();
    const next = { tries: tries + 1, attempts: attempts + 1, turn: turn + 1, since };
    trace.note({ ...next, status: "running", due: undefined, rounds: undefined, callback: undefined });
  }

  /**
   * Whether the step is tried again; if not, its `catch` is for it.
   *
   * @throws what the step fails with
   */
  async #triesAgain(step: Step, { trace, signal }: StepPlace, thrown: unknown): Promise<boolean> {
    if (thrown instanceof Suspended) throw thrown;
    if (thrown instanceof EndOfRun) {
      await trace.end({ status: "succeeded", output: thrown.output, endsRun: true, error: undefined });
      throw thrown;
    }
    const error = recordOfFailure(thrown);
    if (signal.aborted) {
      if (signal.reason instanceof Suspended) throw signal.reason;
      await trace.end({ status: "stopped", error });
      throw signal.reason;
    }
    const { attempts, backoff, catch: caught } = triesOf(step);
    const { clock, random } = this.#world;
    if (isRetryable(error) && trace.entry.tries < attempts) {
      const due = clock.now() + backoffMilliseconds(backoff, trace.entry.tries, random);
      await trace.write({ status: "retrying", error, due });
      return true;
    }
    if (!caught || (caught.kinds && !caught.kinds.includes(error.kind))) {
      await trace.end({ status: "failed", error });
      throw fromErrorRecord(error);
    }
    await trace.write({ status: "running", error, isCatching: true });
    return false;
  }

  /** Does the block that is there for the step's failure. */
  async #catch(step: Step, place: StepPlace): Promise<unknown> {
    const { trace, signal } = place;
    const { path, error, attempts, round } = trace.entry;
    const known = new Map(place.known).set(`error:${step.name}`, { kind: error!.kind, message: error!.message });
    const inside = { known, path: `${path}/`, round: `${round}.catch${attempts}`, signal };
    try {
      const output = await this.block(triesOf(step).catch!.block, inside);
      await trace.end({ status: "caught", output });
      return output;
    } catch (thrown) {
      if (thrown instanceof EndOfRun) {
        await trace.end({ status: "caught", output: thrown.output, endsRun: true });
        throw thrown;
      }
      if (thrown instanceof Suspended || signal.reason instanceof Suspended) throw thrown;
      await trace.end({ status: signal.aborted ? "stopped" : "failed", error: recordOfFailure(thrown) });
      throw thrown;
    }
  }

  /** One attempt, in its time. A function is told its time and keeps to it itself. */
  async #attempt(step: Step, place: StepPlace): Promise<unknown> {
    const { timeout } = triesOf(step);
    if (timeout === undefined || step.type === "function") return this.#perform(step, place);
    const group = new Group(place.signal);
    const late = new MillraceError("timed-out", `step "${step.name}" takes longer than its ${timeout} seconds`);
    const cancel = this.#world.clock.at(place.trace.entry.since + timeout * 1000, () => group.stop(late));
    try {
      return await this.#perform(step, { ...place, signal: group.signal });
    } catch (error) {
      throw group.signal.reason === late && !(error instanceof EndOfRun) ? late : error;
    } finally {
      cancel();
      group.leave();
    }
  }

  async #perform(step: Step, place: StepPlace): Promise<unknown> {
    const { known, trace, signal } = place;
    switch (step.type) {
      case "function": {
        const { path, tries } = trace.entry;
        const input = resolve(step.input, known);
        const { timeout } = step;
        const call = {
          path,
          function: step.function,
          input,
          attempt: tries,
          ...(timeout !== undefined && { timeout }),
        };
        return this.#world.invoke(call, signal);
      }
      case "task":
        return this.#task(step, place);
      case "parallel":
        return this.#parallel(step, place);
      case "map":
        return this.#map(step, place);
      case "choice":
        return this.#choice(step, place);
      case "repeat":
        return this.#repeat(step, place);
      case "wait":
        return this.#wait(typeof step.seconds === "number" ? step.seconds : resolve(step.seconds, known), place);
      case "callback":
        return this.#callback(step, place);
      case "succeed":
        throw new EndOfRun(resolve(step.output, known));
      case "fail": {
        const message = resolve(step.message, known);
        const kind = isErrorKind(step.kind) ? step.kind : "failed";
        throw new MillraceError(kind, typeof message === "string" ? message : JSON.stringify(message));
      }
    }
  }

  async #task(step: TaskStep, { known, trace, signal }: StepPlace): Promise<unknown> {
    const id = resolve(step.id, known);
    if (typeof id !== "string") {
      throw new MillraceError("bad-input", `step "${step.name}": a run's id is text, got ${JSON.stringify(id)}`);
    }
    const { path, attempts } = trace.entry;
    const input = resolve(step.input, known);
    return this.#world.perform({ path, task: step.task, id, input, retries: attempts > 1 }, signal);
  }

  async #parallel({ branches }: ParallelStep, place: StepPlace): Promise<unknown> {
    const names = Object.keys(branches);
    const inside = this.#inside(place);
    const group = new Group(place.signal);
    const outputs = await group.all(names, (name) =>
      this.block(branches[name]!, { ...inside, signal: group.signal }).catch((error: unknown) => group.fail(error)),
    );
    return Object.fromEntries(names.map((name, index) => [name, outputs[index]]));
  }

  async #map(step: MapStep, place: StepPlace): Promise<unknown> {
    const { name, atMost, tolerated, collects } = step;
    const items = listOf(name, resolve(step.items, place.known), atMost);
    const inside = this.#inside(place);
    const group = new Group(place.signal);
    const outputs: unknown[] = [];
    let [next, failed, succeeded] = [0, 0, 0];
    const doItem = async (index: number): Promise<unknown> => {
      const known = new Map(inside.known).set(`item:${name}`, items[index]);
      const path = `${place.trace.entry.path}[${index}]/`;
      try {
        const output = await this.block(step.item, { ...inside, known, path, signal: group.signal });
        succeeded += 1;
        return output;
      } catch (error) {
        failed += 1;
        if (group.signal.aborted || failed > tolerated) return group.fail(error);
        return null;
      }
    };
    const tell = () => place.trace.note({ items: { total: items.length, succeeded, failed } });
    const worker = async () => {
      while (next < items.length && !group.signal.aborted) {
        const index = next++;
        const output = await doItem(index);
        if (collects) outputs[index] = output;
        tell();
      }
    };
    tell();
    const atOnce = Math.min(items.length, step.concurrency ?? this.#world.concurrency);
    await group.all(Array.from({ length: atOnce }), worker);
    return collects ? outputs : { succeeded, failed };
  }

  async #choice({ options, otherwise }: ChoiceStep, place: StepPlace): Promise<unknown> {
    const option = options.find((one) => holds(one.if, place.known));
    return this.block(option?.block ?? otherwise, this.#inside(place));
  }

  async #repeat(step: RepeatStep, place: StepPlace): Promise<unknown> {
    const { trace, signal } = place;
    const inside = this.#inside(place);
    let state = resolve(step.from, place.known);
    for (let round = 0; round < step.atMost; round += 1) {
      if (round > 0 && step.every > 0) await this.#between(round, step.every, place);
      const known = new Map(inside.known).set(`state:${step.name}`, state);
      state = await this.block(step.block, { ...inside, known, path: `${trace.entry.path}[${round}]/` });
      if (holds(step.until, new Map(known).set(`state:${step.name}`, state))) return state;
      // Rounds without a step would be gone through in one go.
      signal.throwIfAborted();
    }
    throw new MillraceError("timed-out", `step "${step.name}" was repeated ${step.atMost} times, and is not through`);
  }

  /** Waits before a round, unless it has begun before; the time is kept over restarts. */
  async #between(round: number, seconds: number, { trace, signal }: StepPlace): Promise<void> {
    const { rounds = 0, due } = trace.entry;
    if (round < rounds) return;
    const until = round === rounds && due !== undefined ? due : this.#world.clock.now() + seconds * 1000;
    if (until !== due) await trace.write({ status: "waiting", rounds: round, due: until });
    await this.#sleepUntil(until, signal);
    trace.note({ status: "running" });
  }

  async #wait(seconds: unknown, { trace, signal }: StepPlace): Promise<unknown> {
    const { step, due } = trace.entry;
    if (typeof seconds !== "number" || !(seconds >= 0)) {
      throw new MillraceError(
        "bad-input",
        `step "${step}" waits for seconds, 0 or more, got ${JSON.stringify(seconds)}`,
      );
    }
    const until = due ?? this.#world.clock.now() + seconds * 1000;
    if (due === undefined) await trace.write({ status: "waiting", due: until });
    await this.#sleepUntil(until, signal);
    return {};
  }

  async #callback(step: CallbackStep, { known, trace, signal }: StepPlace): Promise<unknown> {
    const { path, attempts, round } = trace.entry;
    const callback = this.#world.callback(path);
    if (trace.entry.callback === undefined) {
      const key = `${callback}#${round}#${attempts}`;
      await this.#world.ask({ to: step.ask, callback, input: resolve(step.input, known), key });
      await trace.write({ status: "waiting", callback });
    }
    const answer = await this.#world.answer(path, signal);
    if ("error" in answer) throw fromErrorRecord(answer.error);
    return answer.output;
  }

  /** Where the blocks inside a step are done. */
  #inside({ known, trace, signal }: StepPlace): Place {
    const { path, round, turn } = trace.entry;
    return { known, path: `${path}/`, round: `${round}.${turn}`, signal };
  }

  async #sleepUntil(time: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#world;
    signal.throwIfAborted();
    if (time > clock.now()) await sleep(clock, time - clock.now(), signal);
  }
}

const triesOf = (step: Step): Tries => ("attempts" in step ? step : ONCE);

function listOf(name: string, items: unknown, atMost: number): readonly unknown[] {
  if (!Array.isArray(items)) {
    const given = items === null ? "nothing" : `a ${typeof items}`;
    throw new MillraceError("bad-input", `step "${name}" wants a list of items, got ${given}`);
  }
  if (items.length <= atMost) return items;
  throw new MillraceError("refused", `step "${name}" has ${items.length} items, and takes at most ${atMost}`);
}

/** What a workflow is told of a failure: without its stack, which is in the log. */
function recordOfFailure(thrown: unknown): ErrorRecord {
  const { kind, message } = toErrorRecord(thrown);
  return { kind, message: message.slice(0, 1024) };
}

/** What is written down of one step, as it goes. */
class Trace {
  readonly #world: Pick<WorkflowWorld, "journal" | "clock">;
  #entry: StepEntry;

  constructor(entry: StepEntry, world: Pick<WorkflowWorld, "journal" | "clock">) {
    this.#entry = entry;
    this.#world = world;
  }

  get entry(): StepEntry {
    return this.#entry;
  }

  note(change: Partial<StepEntry>): void {
    this.#entry = { ...this.#entry, ...change };
    this.#world.journal.note(this.#entry);
  }

  write(change: Partial<StepEntry>): Promise<void> {
    this.#entry = { ...this.#entry, ...change };
    return this.#world.journal.write(this.#entry);
  }

  end(change: Partial<StepEntry>): Promise<void> {
    return this.write({ ...change, ended: this.#world.clock.now(), due: undefined, isCatching: undefined });
  }
}

/** What is done at once: stopped with what is around it, and when one of it fails. */
class Group {
  readonly #controller = new AbortController();
  readonly #around: AbortSignal;
  readonly #follow = () => this.stop(this.#around.reason);

  constructor(around: AbortSignal) {
    this.#around = around;
    // As many as there are items at once: more than Node takes for a leak.
    setMaxListeners(0, this.signal);
    if (around.aborted) this.#follow();
    else around.addEventListener("abort", this.#follow, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  stop(reason: unknown): void {
    this.#controller.abort(reason);
  }

  /** One has failed: the others are stopped. */
  fail(error: unknown): never {
    this.stop(error);
    throw error;
  }

  leave(): void {
    this.#around.removeEventListener("abort", this.#follow);
  }

  /** Resolves when all are over; throws what stopped the group. */
  async all<Of, Result>(of: readonly Of[], work: (one: Of) => Promise<Result>): Promise<readonly Result[]> {
    const endings = await Promise.allSettled(of.map(work));
    this.leave();
    if (this.signal.aborted) throw this.signal.reason;
    return endings.map((ending) => {
      if (ending.status === "rejected") throw ending.reason;
      return ending.value;
    });
  }
}

/** Rejects once the signal aborts. */
const abortOf = (signal: AbortSignal): Promise<never> =>
  new Promise((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
