import { createHash } from "node:crypto";
import type { LinkAddress } from "../../../runtime/deployment.ts";
import { type ErrorRecord, MillraceError, toErrorRecord } from "../../../runtime/errors.ts";
import type { Row, TableReader, TableWriter } from "../../../runtime/ports.ts";
import type { BatchStart, ChunkEnd, ItemAnswer, ItemBatches } from "../../../runtime/workflows/links.ts";
import { mapItems } from "../../../runtime/workflows/map-items.ts";
import type { StepRecord } from "../../../runtime/workflows/run.ts";
import type { StepAnswer } from "../../../runtime/workflows/step-call.ts";
import { CHUNK_ITEM, LARGEST_OUTPUT, MOST_STATE } from "../env.ts";
import type { AlicloudWorld } from "./account.ts";
import { rowsOf } from "./callbacks.ts";
import { chunkName, isUnderWay, stopQuietly } from "./chunks.ts";
import { Flows } from "./flows.ts";

/**
 * Maps whose items have executions of their own, in the workflow's table. Everything is said by rows that are written
 * once, or only where nobody came between: whoever is killed at any point is followed by somebody who goes on.
 */
export async function batchesOf(address: LinkAddress, world: AlicloudWorld): Promise<Batches> {
  return new Batches(await rowsOf(address, world), (flow) => new Flows({ ...address, flow }, world), world);
}

/** The batches as the function has them that flows call. */
export const port: (address: LinkAddress, world: AlicloudWorld) => Promise<ItemBatches> = batchesOf;

/** Changes as the batch goes on. */
interface Batch extends Pick<BatchStart, "flow" | "of" | "execution" | "shape" | "tolerated" | "collects"> {
  readonly run: string;
  readonly path: string;
  readonly token: string;
  /** How often the run was begun. */
  readonly round: number;
  /** Of all that its items are done by. */
  readonly hash: string;
  /** The first item of each execution, and the number of items. */
  readonly bounds: readonly number[];
  /** Executions at once. */
  readonly atOnce: number;
  /** Executions that were started. */
  readonly begun: number;
  /** What the first ones came to, whose rows are not read again. */
  readonly counted: Counted;
  readonly answer?: StepAnswer;
}

/** What never changes of it. */
interface Given {
  readonly items: readonly unknown[];
  readonly known: Readonly<Record<string, unknown>>;
}

/** What one execution came to, without the outputs. */
interface End {
  readonly succeeded: number;
  readonly failed: number;
  /** Of the first item that failed. */
  readonly error?: ErrorRecord;
  /** What the execution failed with as a whole. */
  readonly broken?: ErrorRecord;
}

/** What a map of a run was done by last, for who looks at the run, and who retries it. */
interface Last extends Pick<Batch, "round" | "hash" | "answer"> {
  readonly batch: string;
}

/** What the executions before `next` came to together. */
interface Counted extends End {
  readonly next: number;
}

/** A batch that somebody has to look after. */
interface Open {
  /** Milliseconds since 1970. */
  readonly since: number;
  /** Since when who waited knows, and by which token. */
  readonly over?: number;
  readonly told?: string;
  /** Its run may be retried. */
  readonly hasFailed?: boolean;
}

const OPEN = "$batches";
const partitionOf = (batch: string): string => `$batch/${batch}`;
const lastOf = (run: string): string => `$last/${run}`;
/** `answers` are those of an execution with failures; `kept` what succeeded of them before the run was retried. */
const sortOf = (kind: "end" | "output" | "answers" | "kept", chunk: number): string =>
  `${kind}/${String(chunk).padStart(6, "0")}`;

/** How long it is known that a batch is over: a call that comes twice comes by then. Milliseconds. */
const MEMORY = 86_400_000;
/** How long a run that failed goes on from what its maps came to. Milliseconds. */
const RETRIED_WITHIN = 14 * 86_400_000;

export class Batches implements ItemBatches {
  readonly #table: TableReader & TableWriter;
  readonly #flows: (flow: string) => Flows;
  readonly #world: AlicloudWorld;

  constructor(table: TableReader & TableWriter, flows: (flow: string) => Flows, world: AlicloudWorld) {
    this.#table = table;
    this.#flows = flows;
    this.#world = world;
  }

  async begin(
    start: BatchStart,
    token: string,
    { run, path }: { readonly run: string; readonly path: string },
  ): Promise<void> {
    const { batch, flow, of, execution, shape, known, collects } = start;
    const given = givenOf(start);
    if ("error" in given) return this.#flows(of).report(token, JSON.stringify({ status: "failed", ...given }));
    const round = Number(start.round);
    const hash = hashOf([given.items, known, shape, given.bounds, Number(start.tolerated), collects]);
    const first: Batch = {
      ...{ flow, of, execution, shape, run, path, token, round, hash, collects, begun: 0, bounds: given.bounds },
      counted: { next: 0, succeeded: 0, failed: 0 },
      ...{ tolerated: Number(start.tolerated), atOnce: Number(start.chunks) },
    };
    const since = this.#world.clock.now();
    await this.#once(OPEN, batch, { since } satisfies Open);
    await this.#once(partitionOf(batch), "given", { items: given.items, known } satisfies Given);
    const answer = await this.#goOnFrom(batch, first);
    if (answer) {
      await this.#table.put(OPEN, batch, { since, over: since } satisfies Open);
      return this.#flows(of).report(token, JSON.stringify(answer));
    }
    // A call that comes again may have another token.
    if (!(await this.#once(partitionOf(batch), "batch", first))) {
      await this.#waits(batch, token);
      await this.#startAgain(batch);
    }
    await this.#goOn(batch);
  }

  async ended(batch: string, chunk: number, end: ChunkEnd): Promise<void> {
    const head = await this.#head(batch);
    // What is told after the batch is forgotten is of no use to anybody.
    if (!head) return;
    const row = "items" in end ? await this.#keep(batch, head.value, chunk, end.items) : brokenBy(end.error);
    if (!(await this.#once(partitionOf(batch), sortOf("end", chunk), row))) await this.#startAgain(batch);
    await this.#goOn(batch);
  }

  /** What it came to, once that is written down which it came to by. */
  async #keep(batch: string, head: Batch, chunk: number, done: readonly ItemAnswer[]): Promise<End> {
    const kept = await this.#kept(batch, head, chunk);
    const left = done.values();
    const items = kept ? kept.map((item) => item ?? left.next().value!) : done;
    const row = endOf(items);
    if (head.collects) await this.#once(partitionOf(batch), sortOf("output", chunk), items.map(outputOf));
    if (row.failed > 0) await this.#once(partitionOf(batch), sortOf("answers", chunk), items);
    return row;
  }

  /** The answers of an execution's items that succeeded before the run was retried. */
  async #kept(batch: string, { round }: Batch, chunk: number): Promise<readonly (ItemAnswer | null)[] | undefined> {
    if (round === 1) return undefined;
    const row = await this.#table.get<readonly (ItemAnswer | null)[]>(partitionOf(batch), sortOf("kept", chunk));
    return row?.value;
  }

  /**
   * Takes over what the same items came to when the run was begun before: every execution that is over, and of those
   * that had failures the items that succeeded.
   *
   * @returns the answer, where all of them are done
   */
  async #goOnFrom(batch: string, { run, path, round, hash }: Batch): Promise<StepAnswer | undefined> {
    const last = (await this.#table.get<Last>(lastOf(run), path))?.value;
    const isSame = last?.hash === hash;
    // A call that comes again finds itself.
    const answer = isSame && (last.round < round || last.batch === batch) ? last.answer : undefined;
    if (isSame && !answer && last.round < round) await this.#takeOver(last.batch, batch);
    await this.#putLast(run, path, { batch, round, hash, ...(answer && { answer }) });
    return answer;
  }

  async #takeOver(before: string, batch: string): Promise<void> {
    const [from, to] = [partitionOf(before), partitionOf(batch)];
    const rows = new Map((await this.#all(from, "")).map(({ sort, value }) => [sort, value] as const));
    for (const [sort, value] of rows) {
      const [kind, chunk] = [sort.split("/")[0], Number(sort.split("/")[1])];
      if (kind === "kept" && !rows.has(sortOf("end", chunk))) await this.#once(to, sort, value);
      if (kind === "answers") {
        const kept = (value as readonly ItemAnswer[]).map((item) => (item.status === "succeeded" ? item : null));
        await this.#once(to, sortOf("kept", chunk), kept);
      }
      const { failed, broken } = value as End;
      if (kind !== "end" || failed > 0 || broken) continue;
      const output = rows.get(sortOf("output", chunk));
      if (output !== undefined) await this.#once(to, sortOf("output", chunk), output);
      await this.#once(to, sort, value);
    }
  }

  async #putLast(run: string, path: string, last: Last): Promise<void> {
    await this.#table.put(lastOf(run), path, last, { expires: this.#world.clock.now() + RETRIED_WITHIN });
  }

  /** The steps of a run: of its wide maps how many items are over, and after them those that failed. */
  async withItems(run: string, steps: readonly StepRecord[]): Promise<readonly StepRecord[]> {
    const maps = await this.#all<Last>(lastOf(run), "");
    const all = await Promise.all(maps.map((row) => this.#itemsOf(row)));
    return steps.flatMap((step, index) => {
      // What is tried again is another step of the same name.
      const isLast = !steps.slice(index + 1).some((later) => later.step === step.step);
      const own = isLast ? all.filter(({ name }) => name === step.step) : [];
      if (own.length === 0) return [step];
      const failed = own.flatMap((one) => one.failed).slice(0, MOST_SHOWN);
      return [{ ...step, items: sumOf(own.map(({ items }) => items)) }, ...failed.map((item) => item(step))];
    });
  }

  async #itemsOf({ sort: path, value: { batch, answer } }: Row<Last>) {
    const name = path.slice(path.lastIndexOf("/") + 1);
    const head = (await this.#head(batch))?.value;
    // It is forgotten that a batch is over, and not what it came to.
    if (!head) return { name, items: countOf(answer), failed: [] };
    const [{ counted, ends }, answers] = await Promise.all([
      this.#counted(batch, head),
      this.#all<readonly ItemAnswer[]>(partitionOf(batch), "answers/"),
    ]);
    const items = sumOf([counted, ...ends.values()].map((end) => ({ ...end, total: 0 })));
    const failed = answers.flatMap(({ sort, value }) => {
      const first = head.bounds[Number(sort.slice("answers/".length))]!;
      return value.flatMap((item, place) =>
        item.status === "failed" ? [failedItem(`${path}[${first + place}]`, item.error)] : [],
      );
    });
    return { name, items: { ...items, total: head.bounds.at(-1)! }, failed };
  }

  async stop(batch: string): Promise<void> {
    const head = await this.#head(batch);
    if (!head) return;
    await this.#answered(batch, failure({ kind: "stopped", message: "nobody waits for it any more" }));
    await this.#tell(batch);
  }

  /**
   * Goes on with what nobody was told of. How many batches are under way.
   *
   * @throws what went wrong first, once all of them were looked after
   */
  async lookAfter(): Promise<number> {
    let open = 0;
    const errors: unknown[] = [];
    for (let after: string | undefined = ""; after !== undefined; ) {
      const page: { readonly rows: readonly Row<Open>[]; readonly next?: string } = await this.#table.query<Open>(
        OPEN,
        after === "" ? {} : { after },
      );
      for (const { sort: batch, value } of page.rows) {
        if (this.#isForgotten(value)) await this.#forget(batch);
        else if (value.over === undefined) {
          open += 1;
          await this.#lookAt(batch, value).catch((error: unknown) => errors.push(error));
        }
      }
      after = page.next;
    }
    if (errors.length > 0) throw errors[0];
    return open;
  }

  async #lookAt(batch: string, { since }: Open): Promise<void> {
    const head = await this.#head(batch);
    if (!head) {
      // It was about to begin when it was killed: it begins again, or never.
      if (this.#world.clock.now() - since > MEMORY) await this.#forget(batch);
      return;
    }
    if (!head.value.answer) {
      for (const chunk of await this.#underWay(batch, head.value)) {
        await this.#lookAtChunk(batch, head.value, chunk);
      }
      if (!(await this.#isAwaited(head.value))) return this.stop(batch);
    }
    await this.#goOn(batch);
  }

  async #lookAtChunk(batch: string, head: Batch, chunk: number): Promise<void> {
    const name = chunkName(head.run, batch, chunk);
    const found = await this.#flows(head.flow).describe(name);
    if (!found) return this.#start(batch, head, [chunk]);
    if (isUnderWay(found)) return;
    // An execution tells of its end before it is over: this one never will.
    const message = `${name} is ${found.Status}, and has not told how its items went`;
    await this.#once(partitionOf(batch), sortOf("end", chunk), brokenBy({ kind: "unavailable", message }));
  }

  /** Starts what may start, answers once all is over; whoever does the same beside it does no harm. */
  async #goOn(batch: string): Promise<void> {
    for (let wanted: number | undefined; ; ) {
      const head = await this.#head(batch);
      if (!head) return;
      const { answer, begun, bounds, atOnce } = head.value;
      if (answer) return this.#tell(batch);
      const { counted, ends } = await this.#counted(batch, head.value);
      const outcome = await this.#outcome(batch, head.value, [counted, ...ends.values()], counted.next + ends.size);
      const due = Math.max(begun, dueBy(bounds.length - 1, counted.next, atOnce, ends));
      // What is over since this began is for those who tell of it.
      wanted ??= due;
      if (!outcome && begun >= wanted) return;
      const next: Batch = { ...head.value, counted, ...(outcome ? { answer: outcome } : { begun: due }) };
      if (!(await this.#put(batch, next, head.version))) continue;
      if (outcome) return this.#tell(batch);
      const chunks = range(Math.max(begun, counted.next), due).filter((chunk) => !ends.has(chunk));
      await this.#start(batch, next, chunks);
      return this.#stopUnlessAwaited(batch, chunks);
    }
  }

  /** Somebody may have ended the batch, or the run, before these executions were there to be stopped. */
  async #stopUnlessAwaited(batch: string, chunks: readonly number[]): Promise<void> {
    const head = await this.#head(batch);
    if (!head) return;
    const { answer, run, flow } = head.value;
    if (!answer && !(await this.#isAwaited(head.value))) return this.stop(batch);
    if (answer?.status !== "failed") return;
    await stopQuietly(
      this.#flows(flow),
      chunks.map((chunk) => chunkName(run, batch, chunk)),
    );
  }

  /** Whoever was here before may have been killed before it started what it had written down to be started. */
  async #startAgain(batch: string): Promise<void> {
    const head = await this.#head(batch);
    if (!head || head.value.answer) return;
    await this.#start(batch, head.value, await this.#underWay(batch, head.value));
  }

  /** A name is started once, however often that is asked for. */
  async #start(batch: string, head: Batch, chunks: readonly number[]): Promise<void> {
    if (chunks.length === 0) return;
    const { flow, shape, run, round, path, bounds } = head;
    const given = await this.#table.get<Given>(partitionOf(batch), "given");
    const { items, known } = given!.value;
    for (const chunk of chunks) {
      const kept = await this.#kept(batch, head, chunk);
      const own = range(bounds[chunk]!, bounds[chunk + 1]!)
        .filter((_, place) => !kept?.[place])
        .map((index) => itemOf(items[index], index));
      const input = JSON.stringify({ run, round, done: {}, path, batch, chunk, shape, items: own, known });
      await this.#flows(flow).start(chunkName(run, batch, chunk), input);
    }
  }

  /** What the batch comes to, once that is known. */
  async #outcome(
    batch: string,
    { bounds, tolerated, collects }: Batch,
    ends: readonly End[],
    ended: number,
  ): Promise<StepAnswer | undefined> {
    const broken = ends.find((end) => end.broken)?.broken;
    if (broken) return failure(broken);
    const failed = ends.reduce((sum, end) => sum + end.failed, 0);
    if (failed > tolerated) return failure(ends.find((end) => end.error)!.error!);
    if (ended < bounds.length - 1) return undefined;
    if (!collects) return { status: "succeeded", output: { succeeded: bounds.at(-1)! - failed, failed } };
    const outputs = await this.#outputs(batch);
    const bytes = Buffer.byteLength(JSON.stringify(outputs));
    if (bytes <= LARGEST_OUTPUT) return { status: "succeeded", output: outputs };
    const message = `the outputs of the map have ${bytes} bytes, and a workflow carries at most ${LARGEST_OUTPUT}: put them into a bucket and answer their keys`;
    return failure({ kind: "refused", message });
  }

  /** Tells who waits, once it is written down what; and stops what is of no use any more. */
  async #tell(batch: string): Promise<void> {
    const [head, open] = await Promise.all([this.#head(batch), this.#table.get<Open>(OPEN, batch)]);
    if (!head?.value.answer || !open) return;
    const { answer, flow, of, token, run, path, round, hash } = head.value;
    if (open.value.told === token) return;
    if (answer.status === "succeeded") await this.#putLast(run, path, { batch, round, hash, answer });
    if (answer.status === "failed") {
      const left = await this.#underWay(batch, head.value);
      await stopQuietly(
        this.#flows(flow),
        left.map((chunk) => chunkName(run, batch, chunk)),
      );
    }
    try {
      await this.#flows(of).report(token, JSON.stringify(answer));
    } catch (error) {
      // Nobody waits for the token: it was told before, or its execution is over.
      if (toErrorRecord(error).kind !== "failed") throw error;
    }
    const over = { over: this.#world.clock.now(), told: token, hasFailed: answer.status === "failed" };
    await this.#table.put(OPEN, batch, { ...open.value, ...over } satisfies Open);
  }

  /** Whether the execution that waits is under way. */
  async #isAwaited({ of, execution }: Batch): Promise<boolean> {
    const found = await this.#flows(of).describe(execution);
    return found !== undefined && isUnderWay(found);
  }

  /** What is over from the first on, as one; and what is over behind it, by number in its order. */
  async #counted(batch: string, head: Pick<Batch, "counted">) {
    const after = sortOf("end", head.counted.next - 1);
    const rows = await this.#all<End>(partitionOf(batch), "end/", head.counted.next > 0 ? after : "");
    const ends = new Map(rows.map(({ sort, value }) => [Number(sort.slice("end/".length)), value] as const));
    let counted = head.counted;
    for (let end = ends.get(counted.next); end; end = ends.get(counted.next)) {
      ends.delete(counted.next);
      counted = {
        ...end,
        ...counted,
        succeeded: counted.succeeded + end.succeeded,
        failed: counted.failed + end.failed,
        next: counted.next + 1,
      };
    }
    return { counted, ends };
  }

  /** The executions that were to start, and have not told of their end. */
  async #underWay(batch: string, head: Batch): Promise<readonly number[]> {
    const { counted, ends } = await this.#counted(batch, head);
    return range(counted.next, head.begun).filter((chunk) => !ends.has(chunk));
  }

  /** In the items' order. */
  async #outputs(batch: string): Promise<readonly unknown[]> {
    const rows = await this.#all<readonly unknown[]>(partitionOf(batch), "output/");
    return rows.flatMap(({ value }) => value);
  }

  async #all<Value>(partition: string, prefix: string, from = ""): Promise<readonly Row<Value>[]> {
    const rows: Row<Value>[] = [];
    for (let after: string | undefined = from; after !== undefined; ) {
      const page: { readonly rows: readonly Row<Value>[]; readonly next?: string } = await this.#table.query<Value>(
        partition,
        { prefix, ...(after !== "" && { after }) },
      );
      rows.push(...page.rows);
      after = page.next;
    }
    return rows;
  }

  #head(batch: string): Promise<Row<Batch> | undefined> {
    return this.#table.get<Batch>(partitionOf(batch), "batch");
  }

  /** Gives it an answer, unless it has one. */
  async #answered(batch: string, answer: StepAnswer): Promise<void> {
    for (;;) {
      const head = await this.#head(batch);
      if (!head || head.value.answer || (await this.#put(batch, { ...head.value, answer }, head.version))) return;
    }
  }

  /** Whoever waits does so by this token from now on. */
  async #waits(batch: string, token: string): Promise<void> {
    for (;;) {
      const head = await this.#head(batch);
      if (!head || (await this.#put(batch, { ...head.value, token }, head.version))) return;
    }
  }

  /** False: somebody came between. */
  #put(batch: string, head: Batch, ifVersion: string): Promise<boolean> {
    return unlessConflict(this.#table.put(partitionOf(batch), "batch", head, { ifVersion }));
  }

  /** Writes a row; false if there is one already, which stays. */
  #once(partition: string, sort: string, value: unknown): Promise<boolean> {
    return unlessConflict(this.#table.put(partition, sort, value, { ifVersion: "absent" }));
  }

  #isForgotten = ({ over, hasFailed }: Open): boolean =>
    over !== undefined && this.#world.clock.now() - over > (hasFailed ? RETRIED_WITHIN : MEMORY);

  async #forget(batch: string): Promise<void> {
    const partition = partitionOf(batch);
    for (const { sort } of await this.#all(partition, "")) await this.#table.remove(partition, sort);
    await this.#table.remove(OPEN, batch);
  }
}

/** The items, and where each execution's begin; or what is wrong with them. */
function givenOf({
  list,
  atMost,
  known,
  size,
  chunks,
}: BatchStart):
  | { readonly items: readonly unknown[]; readonly bounds: readonly number[] }
  | { readonly error: ErrorRecord } {
  try {
    const items = mapItems(list, Number(atMost));
    const room = MOST_STATE - Buffer.byteLength(JSON.stringify(known)) - AROUND_ITEMS;
    // A short list is done by as many executions as may be at once.
    const most = Math.min(Number(size), Math.ceil(items.length / Number(chunks)));
    return { items, bounds: boundsOf(items, most, room) };
  } catch (error) {
    const { kind, message } = toErrorRecord(error);
    return { error: { kind, message } };
  }
}

/** What an execution's input has beside its items and what they read from around, at most, in bytes. */
const AROUND_ITEMS = 2048;

function boundsOf(items: readonly unknown[], most: number, room: number): readonly number[] {
  const bounds: number[] = [];
  let [count, bytes] = [0, 0];
  for (const [index, item] of items.entries()) {
    const own = Buffer.byteLength(JSON.stringify(itemOf(item, index))) + 1;
    if (own > room) {
      throw new MillraceError(
        "refused",
        `item ${index} has ${own} bytes with what it reads from around, and CloudFlow carries at most ${MOST_STATE}`,
      );
    }
    if (index === 0 || count === most || bytes + own > room) {
      bounds.push(index);
      [count, bytes] = [0, 0];
    }
    count += 1;
    bytes += own;
  }
  return [...bounds, items.length];
}

/** An item as a flow's map takes it. */
const itemOf = (item: unknown, index: number): object => ({ [CHUNK_ITEM]: { item, index } });

function endOf(items: readonly ItemAnswer[]): End {
  const failures = items.flatMap((item) => (item.status === "failed" ? [item.error] : []));
  return {
    succeeded: items.length - failures.length,
    failed: failures.length,
    ...(failures[0] && { error: failures[0] }),
  };
}

/** Items that failed that a run tells of. */
const MOST_SHOWN = 100;

/** Its steps are known to its own execution alone; when it was done, too. */
const failedItem =
  (path: string, error: ErrorRecord) =>
  ({ started, ended }: StepRecord): StepRecord => ({
    ...{ path, step: path, status: "failed", started, attempts: 1, error },
    ...(ended !== undefined && { ended }),
  });

type ItemCounts = NonNullable<StepRecord["items"]>;

const sumOf = (counts: readonly ItemCounts[]): ItemCounts => {
  const sum = (field: keyof ItemCounts) => counts.reduce((total, one) => total + one[field], 0);
  return { total: sum("total"), succeeded: sum("succeeded"), failed: sum("failed") };
};

function countOf(answer: StepAnswer | undefined): ItemCounts {
  const output =
    answer?.status === "succeeded" ? (answer.output as readonly unknown[] | Omit<ItemCounts, "total">) : [];
  if ("succeeded" in output) return { ...output, total: output.succeeded + output.failed };
  // Of an item that failed and was tolerated, and of one that came to nothing, the output is the same.
  return { total: output.length, succeeded: output.length, failed: 0 };
}

/** As many executions under way as there may be, behind those that are over: the first that is not to start yet. */
function dueBy(count: number, from: number, atOnce: number, ends: ReadonlyMap<number, unknown>): number {
  let [due, open] = [from, 0];
  for (; due < count && (open < atOnce || ends.has(due)); due += 1) if (!ends.has(due)) open += 1;
  return due;
}

const hashOf = (value: unknown): string => createHash("sha256").update(JSON.stringify(value)).digest("hex");

const brokenBy = (broken: ErrorRecord): End => ({ succeeded: 0, failed: 0, broken });

const outputOf = (item: ItemAnswer): unknown => (item.status === "failed" ? null : (item.output ?? null));

const failure = ({ kind, message }: ErrorRecord): StepAnswer => ({
  status: "failed",
  error: { kind, message: message.slice(0, 1024) },
});

const range = (from: number, to: number): readonly number[] =>
  Array.from({ length: Math.max(0, to - from) }, (_, index) => from + index);

async function unlessConflict(put: Promise<unknown>): Promise<boolean> {
  try {
    await put;
    return true;
  } catch (error) {
    if (error instanceof MillraceError && error.kind === "conflict") return false;
    throw error;
  }
}
