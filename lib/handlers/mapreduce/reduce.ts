import { createHash, randomUUID } from "node:crypto";
import { join } from "node:path";
import { MillraceError } from "../../runtime/errors.ts";
import type { FunctionInvoked } from "../../runtime/events.ts";
import type { Context, Handler } from "../../runtime/handler.ts";
import type { BucketReader, BucketWriter } from "../../runtime/ports.ts";
import { groupAnswers } from "./combine.ts";
import { keysOf, outputsOf } from "./keys.ts";
import { type Group, Merge } from "./merge.ts";
import { commitJson, findJson, readJson } from "./plan.ts";
import { putBytes } from "./put.ts";
import type { OutputSettings, RunStep } from "./settings.ts";
import { codecHere, lineOf, RunCursor, type RunPlace, RunWriter } from "./shuffle.ts";
import { type GroupProgram, PROGRAM_BATCH, PROGRAM_MOST, type ReducerModule, type UserContext } from "./user-code.ts";

/** What a reducer may touch. */
export interface ReduceLinks {
  readonly work: BucketReader & BucketWriter;
  readonly outputs: BucketReader & BucketWriter;
}

/** The user's code. */
export interface ReduceCode {
  readonly reducer: ReducerModule | GroupProgram;
}

/** One partition of a run. */
export interface ReduceRequest extends RunStep {
  readonly partition: number;
}

/** What a reducer has made. */
export interface Reduced {
  readonly partition: number;
  /** Pairs it was given. */
  readonly pairs: number;
  readonly keys: number;
  /** The object with what they came to; absent if that is nothing. */
  readonly part?: Part;
}

/** An object of the output. */
export interface Part {
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  /** Lines. */
  readonly records: number;
  readonly sha256: string;
}

/** What is told of a partition. */
export type ReduceResult = Pick<Reduced, "keys" | "pairs">;

/** Runs merged at once: more are merged to fewer first. */
const MOST_RUNS = 256;
/** Bytes of all runs together that are read ahead. */
const READ_AHEAD = 64 * 2 ** 20;
const [LEAST_CHUNK, MOST_CHUNK] = [64 * 2 ** 10, 4 * 2 ** 20] as const;
/** Output that is put at once, in characters. */
const CHUNK = 256 * 2 ** 10;

type ReduceContext<Settings extends OutputSettings = OutputSettings, Code = ReduceCode> = Context<
  ReduceLinks,
  Settings,
  Code
>;

/**
 * A reducer's handler. Called again, or twice at once, it changes nothing: of its output, the first one stays.
 *
 * @param reduce puts what a partition comes to into the output
 */
export const reducing =
  <Settings extends OutputSettings, Code>(
    reduce: (run: string, partition: number, context: ReduceContext<Settings, Code>) => Promise<Reduced>,
  ): Handler<FunctionInvoked<ReduceRequest>, ReduceLinks, Settings, ReduceResult, Code> =>
  async ({ payload: { run, partition } }, context) => {
    const { work } = context.links;
    const keys = keysOf(run);
    const find = () => findJson<Reduced>(work, keys.reduced(partition));
    const make = async () => commitJson(work, keys.reduced(partition), await reduce(run, partition, context));
    const known = await find();
    if (known) return resultOf(known);
    try {
      return resultOf(await make());
    } catch (error) {
      // Another attempt may have been quicker.
      const others = await find();
      if (!others) throw error;
      return resultOf(others);
    }
  };

const resultOf = ({ keys, pairs }: Reduced): ReduceResult => ({ keys, pairs });

async function reduce(run: string, partition: number, context: ReduceContext): Promise<Reduced> {
  const { links, settings, code, scratch, signal } = context;
  const { outputs, work } = links;
  const given = await readJson<readonly RunPlace[]>(work, keysOf(run).partition(partition));
  const merge = await Merge.of(
    cursorsOf(await fewer(given, run, partition, context), work, signal),
    join(scratch, "values"),
  );
  const output = new Output(code.reducer, merge, { run, object: "" }, signal);
  const key = outputsOf(settings.outputPrefix, run).part(partition);
  try {
    // An attempt that did not live to tell of it has put all there is; the same is made again, to be told of.
    const isThere = (await outputs.head(key)) !== undefined;
    if (isThere) for await (const _ of output.bytes());
    const type = { contentType: "application/jsonl", ifNoneMatch: "*" } as const;
    const isPut = isThere || (await putBytes(outputs, key, output.bytes(), type)) !== undefined;
    const { pairs, keys, ...content } = output.counted;
    const part = isThere ? await contentOf(outputs, key, signal) : content;
    return { partition, pairs, keys, ...(isPut && { part: { key, ...part } }) };
  } finally {
    merge.close();
  }
}

/** The output of a reducer as it is made, and what there is to count in it. */
class Output {
  readonly #reducer: ReducerModule | GroupProgram;
  readonly #merge: Merge;
  readonly #user: UserContext;
  readonly #signal: AbortSignal;
  readonly #hash = createHash("sha256");
  readonly #counts = { pairs: 0, keys: 0, size: 0, records: 0 };
  #text = "";

  constructor(reducer: ReducerModule | GroupProgram, merge: Merge, user: UserContext, signal: AbortSignal) {
    this.#reducer = reducer;
    this.#merge = merge;
    this.#user = user;
    this.#signal = signal;
  }

  /** Once all bytes are made. */
  get counted(): Pick<Reduced, "pairs" | "keys"> & Omit<Part, "key"> {
    return { ...this.#counts, sha256: this.#hash.digest("hex") };
  }

  async *bytes(): AsyncGenerator<Buffer, void> {
    const full = typeof this.#reducer === "function" ? this.#byProgram(this.#reducer) : this.#byModule(this.#reducer);
    for await (const _ of full) yield this.#chunk();
    if (this.#text !== "") yield this.#chunk();
  }

  #chunk(): Buffer {
    this.#signal.throwIfAborted();
    const chunk = Buffer.from(this.#text, "utf8");
    this.#text = "";
    this.#hash.update(chunk);
    this.#counts.size += chunk.length;
    return chunk;
  }

  /** Pauses whenever there is enough text. */
  async *#byModule({ reducer }: ReducerModule): AsyncGenerator<void, void> {
    for (let group = await this.#next(); group; ) {
      const { key } = group;
      const result: unknown = reducer(key, group as Iterable<never>, this.#user);
      for (const value of isGenerator(result) ? result : [result]) {
        this.#add(key, value);
        if (this.#text.length > CHUNK) yield;
      }
      this.#counts.pairs += group.count;
      const next = this.#next();
      // No turn of the event loop for every key.
      group = next instanceof Promise ? await next : next;
    }
  }

  async *#byProgram(program: GroupProgram): AsyncGenerator<void, void> {
    let [groups, size]: [(readonly [string, readonly unknown[]])[], number] = [[], 0];
    const call = async () => {
      const answers = await groupAnswers(program, groups);
      for (const [index, [key]] of groups.entries()) this.#add(key, answers[index]);
      [groups, size] = [[], 0];
    };
    for (let group = await this.#next(); group; group = await this.#next()) {
      if (group.size > PROGRAM_MOST) throw tooLong(group);
      if (size + group.size > PROGRAM_BATCH && groups.length > 0) await call();
      groups.push([group.key, [...group]]);
      size += group.size + group.key.length;
      this.#counts.pairs += group.count;
      if (this.#text.length > CHUNK) yield;
    }
    if (groups.length > 0) await call();
  }

  #next(): Group | undefined | Promise<Group | undefined> {
    const next = this.#merge.next();
    const count = (group: Group | undefined) => {
      if (group) this.#counts.keys += 1;
      return group;
    };
    return next instanceof Promise ? next.then(count) : count(next);
  }

  #add(key: string, value: unknown): void {
    if (value === undefined) return;
    this.#text += `${JSON.stringify({ key, value })}\n`;
    this.#counts.records += 1;
  }
}

const isGenerator = (result: unknown): result is Generator<unknown, unknown> =>
  typeof result === "object" && result !== null && "next" in result && typeof result.next === "function";

const tooLong = ({ key, size }: Group): MillraceError =>
  new MillraceError(
    "bad-input",
    `the values of ${JSON.stringify(key)} have ${size} characters, a program takes up to ${PROGRAM_MOST} of a key: use a combiner`,
  );

/** What reads runs, not too much of all of them at once. */
export function cursorsOf(places: readonly RunPlace[], work: BucketReader, signal: AbortSignal): readonly RunCursor[] {
  const chunk = Math.min(MOST_CHUNK, Math.max(LEAST_CHUNK, Math.floor(READ_AHEAD / Math.max(1, places.length))));
  return places.map((place) => new RunCursor(work, place, chunk, signal));
}

/** As many runs as can be merged at once: groups of them become one run each, in an object of this attempt's own. */
async function fewer(
  places: readonly RunPlace[],
  run: string,
  partition: number,
  context: ReduceContext,
): Promise<readonly RunPlace[]> {
  if (places.length <= MOST_RUNS) return places;
  const { links, scratch, signal } = context;
  const attempt = randomUUID();
  const merged: RunPlace[] = [];
  for (let at = 0; at < places.length; at += MOST_RUNS) {
    const merge = await Merge.of(
      cursorsOf(places.slice(at, at + MOST_RUNS), links.work, signal),
      join(scratch, "values"),
    );
    const key = keysOf(run).merged(partition, attempt, merged.length);
    const codec = codecHere();
    const object = await putBytes(links.work, key, mergedBytes(merge, new RunWriter(codec)));
    merge.close();
    if (object) merged.push({ object: key, etag: object.etag, codec, run: [0, object.size] });
  }
  return fewer(merged, run, partition, context);
}

/** Pairs as they were, key by key; some hundred keys are written at once. */
async function* mergedBytes(merge: Merge, writer: RunWriter): AsyncGenerator<Buffer, void> {
  let [lines, size]: [string[], number] = [[], 0];
  for (let group = await merge.next(); group; group = await merge.next()) {
    for (const values of group.parts()) {
      lines.push(lineOf(group.key, values));
      size += values.json.length;
      if (size < CHUNK) continue;
      yield* writer.write(lines);
      [lines, size] = [[], 0];
    }
  }
  yield* writer.write(lines);
}

/** What lies in an object of the output, in lines. */
export async function contentOf(outputs: BucketReader, key: string, signal: AbortSignal): Promise<Omit<Part, "key">> {
  const hash = createHash("sha256");
  let [size, records] = [0, 0];
  for await (const chunk of await outputs.stream(key)) {
    signal.throwIfAborted();
    const bytes = chunk as Buffer;
    hash.update(bytes);
    size += bytes.length;
    for (let at = bytes.indexOf(NEWLINE); at !== -1; at = bytes.indexOf(NEWLINE, at + 1)) records += 1;
  }
  return { size, records, sha256: hash.digest("hex") };
}

const NEWLINE = 0x0a;

/** Reduces one partition. */
export const handler = reducing(reduce);
