import { setTimeout as pause } from "node:timers/promises";
import { type Command, InvalidArgumentError } from "commander";
import { MillraceError } from "../../runtime/errors.ts";
import type { StreamRecord } from "../../runtime/events.ts";
import type { PartitionInfo, StreamClient } from "../../runtime/streams.ts";
import type { Cli } from "../cli.ts";
import { UsageError } from "../exit.ts";
import { resolveName } from "../names.ts";
import { type CommonOptions, parseWhole, withCloud, withExamples } from "../options.ts";
import { recordToJson, renderRecord } from "../render/record.ts";

type Begin = "earliest" | "latest" | number;

interface TailOptions extends CommonOptions {
  readonly partition?: number;
  readonly from?: Begin;
  readonly limit?: number;
  readonly follow?: true;
}

const LAST_RECORDS = 10;
const PAGE = 1000;
/** Between two looks for new records. */
const PAUSE_MILLISECONDS = 500;

/** `millrace streams tail`: records as they lie there, without anybody's place moving. */
export function addTail(streams: Command, cli: Cli): void {
  const command = streams
    .command("tail")
    .description("show the last records of a stream, and with --follow those that come")
    .argument("<stream>", "the stream's name")
    .option("--partition <number>", "only this one", parseWhole(0, Number.MAX_SAFE_INTEGER))
    .option("--from <where>", "earliest, latest, or an offset, in place of the last records", parseBegin)
    .option("--limit <count>", "records to show (default: the last 10; with --from, all)", parseWhole(1, 1_000_000))
    .option("--follow", "go on with new records, until Ctrl-C");
  withExamples(
    withCloud(command),
    "millrace streams tail orders-events",
    "millrace streams tail orders-events --follow --json | jq .value",
    "millrace streams tail orders-events --partition 2 --from 1180 --limit 5",
  ).action(
    cli.action(async (word: string, options: TailOptions) => {
      const { from, limit, follow } = options;
      if (follow && from !== undefined && limit !== undefined)
        throw new UsageError("--limit: with --from and --follow all is shown; leave one of them out");
      const client = await cli.connect(options);
      const stream = resolveName(await client.plan(), "stream", word);
      const partitions = await partitionsOf(client.streams, stream, options.partition);
      const tail = new Tail(client.streams, stream);
      const show = (record: StreamRecord) =>
        cli.terminal.print(
          options.json ? JSON.stringify(recordToJson(record)) : renderRecord(record, cli.terminal.colors),
        );
      const shown = await tail.begin(partitions, from, limit, show);
      if (follow) await tail.follow(show, cli.signal);
      else if (shown === 0 && !options.json) cli.terminal.note("no records");
    }),
  );
}

function parseBegin(given: string): Begin {
  if (given === "earliest" || given === "latest") return given;
  const offset = Number(given);
  if (/^\d+$/.test(given) && Number.isSafeInteger(offset)) return offset;
  throw new InvalidArgumentError("It is earliest, latest, or an offset: a whole number from 0.");
}

async function partitionsOf(
  streams: StreamClient,
  stream: string,
  partition: number | undefined,
): Promise<readonly PartitionInfo[]> {
  const { partitions } = (await streams.list()).find((one) => one.stream === stream)!;
  if (partition === undefined) return partitions;
  const own = partitions.filter((one) => one.partition === partition);
  if (own.length > 0) return own;
  throw new MillraceError(
    "not-found",
    `--partition: stream ${stream} has 0 to ${partitions.length - 1}, got ${partition}`,
  );
}

/** Reads partitions side by side, in the order of time as far as each partition's own order lets it. */
class Tail {
  readonly #streams: StreamClient;
  readonly #stream: string;
  /** Where each partition goes on. */
  readonly #places = new Map<number, number>();

  constructor(streams: StreamClient, stream: string) {
    this.#streams = streams;
    this.#stream = stream;
  }

  /** What there is; how many were shown. */
  async begin(
    partitions: readonly PartitionInfo[],
    from: Begin | undefined,
    limit: number | undefined,
    show: (record: StreamRecord) => void,
  ): Promise<number> {
    const last = limit ?? LAST_RECORDS;
    for (const { partition, first, next } of partitions) this.#places.set(partition, placeOf(from, first, next, last));
    const ends = new Map(partitions.map(({ partition, next }) => [partition, next]));
    if (from === undefined) {
      const records = await this.#readAll(ends);
      for (const record of records.slice(-last)) show(record);
      return Math.min(records.length, last);
    }
    let shown = 0;
    for (let page = await this.#read(ends); page && shown < (limit ?? Infinity); page = await this.#read(ends)) {
      const wanted = page.slice(0, (limit ?? Infinity) - shown);
      for (const record of wanted) show(record);
      shown += wanted.length;
    }
    return shown;
  }

  /** Ends with the signal. */
  async follow(show: (record: StreamRecord) => void, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const page = await this.#read();
      for (const record of page ?? []) show(record);
      if (!page) await pause(PAUSE_MILLISECONDS, undefined, { signal });
    }
    signal.throwIfAborted();
  }

  async #readAll(ends: ReadonlyMap<number, number>): Promise<readonly StreamRecord[]> {
    const records: StreamRecord[] = [];
    for (let page = await this.#read(ends); page; page = await this.#read(ends)) records.push(...page);
    return records;
  }

  /** The next page of every partition, up to these ends; undefined: there is nothing more. */
  async #read(ends?: ReadonlyMap<number, number>): Promise<readonly StreamRecord[] | undefined> {
    const places = [...this.#places].filter(([partition, from]) => from < (ends?.get(partition) ?? Infinity));
    const pages = await Promise.all(
      places.map(async ([partition, from]) => {
        const { records, next } = await this.#streams.read(this.#stream, { partition, from, limit: PAGE });
        this.#places.set(partition, next);
        return records.filter(({ offset }) => offset < (ends?.get(partition) ?? Infinity));
      }),
    );
    // Without records it may have come further all the same, over what was taken back.
    const hasMoved = places.some(([partition, from]) => this.#places.get(partition)! > from);
    return hasMoved ? merged(pages) : undefined;
  }
}

function placeOf(from: Begin | undefined, first: number, next: number, last: number): number {
  if (from === "earliest") return first;
  if (from === "latest") return next;
  return Math.max(first, from ?? next - last);
}

/** By time, but never a record before one that lies before it in its partition. */
function merged(pages: readonly (readonly StreamRecord[])[]): readonly StreamRecord[] {
  const waiting = pages.filter(({ length }) => length > 0).map((records) => ({ records, at: 0 }));
  const all: StreamRecord[] = [];
  while (waiting.length > 0) {
    const next = waiting.reduce((one, other) => (timeOf(other) < timeOf(one) ? other : one));
    all.push(next.records[next.at]!);
    next.at += 1;
    if (next.at === next.records.length) waiting.splice(waiting.indexOf(next), 1);
  }
  return all;
}

const timeOf = ({ records, at }: { readonly records: readonly StreamRecord[]; readonly at: number }): number =>
  records[at]!.timestamp;
