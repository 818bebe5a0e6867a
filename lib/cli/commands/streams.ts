import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import type { NewRecord } from "../../runtime/ports.ts";
import type { GroupLag, StreamInfo } from "../../runtime/streams.ts";
import { type Cli, printJson } from "../cli.ts";
import { UsageError } from "../exit.ts";
import { namesOf, resolveName } from "../names.ts";
import { type CommonOptions, parsePair, parseWhole, withCloud, withExamples } from "../options.ts";
import { renderTable } from "../render/table.ts";
import { count, plain } from "../render/text.ts";
import type { Terminal } from "../terminal.ts";
import { addTail } from "./streams-tail.ts";

/** `millrace streams …` */
export function addStreams(program: Command, cli: Cli): void {
  const streams = program.command("streams").description("look into streams, append records, and see who is behind");
  addLs(streams, cli);
  addProduce(streams, cli);
  addTail(streams, cli);
  addLag(streams, cli);
}

function addLs(streams: Command, cli: Cli): void {
  const command = streams
    .command("ls")
    .description("list the streams, or the partitions of one")
    .argument("[stream]", "the stream's name");
  withExamples(withCloud(command), "millrace streams ls", "millrace streams ls orders-events").action(
    cli.action(async (word: string | undefined, options: CommonOptions) => {
      const client = await cli.connect(options);
      const name = word === undefined ? undefined : resolveName(await client.plan(), "stream", word);
      const all = await client.streams.list();
      const found = name === undefined ? all : all.filter(({ stream }) => stream === name);
      if (options.json) return printJson(cli.terminal, found);
      if (all.length === 0) return cli.terminal.note("no streams");
      cli.terminal.print(name === undefined ? renderStreams(found, cli) : renderPartitions(found, cli));
    }),
  );
}

const renderStreams = (streams: readonly StreamInfo[], { terminal }: Cli): string =>
  renderTable(
    ["STREAM", "PARTITIONS", "RECORDS"],
    streams.map(({ stream, partitions }) => [
      stream,
      String(partitions.length),
      String(partitions.reduce((sum, { first, next }) => sum + next - first, 0)),
    ]),
    terminal,
  );

const renderPartitions = (streams: readonly StreamInfo[], { terminal }: Cli): string =>
  renderTable(
    ["PARTITION", "FIRST", "NEXT", "RECORDS"],
    streams.flatMap(({ partitions }) =>
      partitions.map(({ partition, first, next }) => [partition, first, next, next - first].map(String)),
    ),
    terminal,
  );

interface ProduceOptions extends CommonOptions {
  readonly key?: string;
  readonly separator?: string;
  readonly header?: Readonly<Record<string, string>>;
  readonly partition?: number;
  readonly whole?: true;
  readonly gone?: true;
}

function addProduce(streams: Command, cli: Cli): void {
  const command = streams
    .command("produce")
    .description("append records")
    .argument("<stream>", "the stream's name")
    .argument("[value]", "one record: a text; or a record for each line: @file, or - for standard input")
    .option("--key <key>", "the key of all of them (default: none)")
    .option("--separator <text>", "what parts each record's key from its value (default: records have no key)")
    .option("--header <name=value>", "a header; may be repeated", parsePair)
    .option("--partition <number>", "where they go (default: by the key)", parseWhole(0, Number.MAX_SAFE_INTEGER))
    .option("--whole", "the file or standard input is one record, with all its bytes")
    .option("--gone", "a record without value, which says in some streams that the key is gone");
  withExamples(
    withCloud(command),
    `millrace streams produce orders-events '{"order":17}' --key customer-3`,
    "millrace streams produce orders-events @orders.jsonl",
    "kcat -C … -K '\\t' | millrace streams produce orders-events - --separator $'\\t'",
    "millrace streams produce orders-events --key customer-3 --gone",
  ).action(
    cli.action(async (word: string, given: string | undefined, options: ProduceOptions) => {
      const records = await recordsOf(given, options, cli.terminal);
      const client = await cli.connect(options);
      const stream = resolveName(await client.plan(), "stream", word);
      const places = await client.streams.produce(stream, records);
      if (options.json) return printJson(cli.terminal, places);
      const [first] = places;
      const where = places.length === 1 && first ? ` at ${first.partition}/${first.offset}` : "";
      cli.terminal.print(`appended ${count(places.length, "record")} to ${stream}${where}`);
    }),
  );
}

async function recordsOf(
  given: string | undefined,
  options: ProduceOptions,
  terminal: Terminal,
): Promise<readonly NewRecord[]> {
  const { key, separator, header, partition, gone } = options;
  if (key !== undefined && separator !== undefined) throw new UsageError("--key and --separator: give one of them");
  if (separator === "") throw new UsageError("--separator: a text of one character or more");
  if (gone && given !== undefined) throw new UsageError("--gone: a record without value; leave the value out");
  if (!gone && given === undefined) throw new UsageError("give a value: a text, @file, or - for standard input");
  const common = { ...(header && { headers: header }), ...(partition !== undefined && { partition }) };
  const values = given === undefined ? [undefined] : await valuesOf(given, options, terminal);
  return values.map((value, index) => ({
    ...common,
    ...(key !== undefined && { key }),
    ...(separator === undefined || value === undefined
      ? { ...(value && { value }) }
      : apart(value, separator, `line ${index + 1}`)),
  }));
}

const LINE_FEED = 0x0a;

/** Lines are taken as bytes: what is no text stays what it is. */
async function valuesOf(given: string, { whole }: ProduceOptions, terminal: Terminal): Promise<readonly Uint8Array[]> {
  if (given !== "-" && !given.startsWith("@")) return [Buffer.from(given)];
  const content = given === "-" ? await terminal.readBytes() : await readFile(given.slice(1));
  if (whole) return [content];
  const lines: Uint8Array[] = [];
  for (let start = 0; start < content.length; ) {
    const end = content.indexOf(LINE_FEED, start);
    lines.push(content.subarray(start, end < 0 ? content.length : end));
    start = end < 0 ? content.length : end + 1;
  }
  return lines;
}

function apart(line: Uint8Array, separator: string, where: string): Pick<NewRecord, "key" | "value"> {
  const bytes = Buffer.from(line.buffer, line.byteOffset, line.byteLength);
  const at = bytes.indexOf(separator);
  if (at < 0) throw new UsageError(`--separator: ${where} has no ${JSON.stringify(separator)}`);
  return { key: bytes.subarray(0, at), value: bytes.subarray(at + Buffer.byteLength(separator)) };
}

function addLag(streams: Command, cli: Cli): void {
  const command = streams
    .command("lag")
    .description("show how many records wait for each group, of all streams or of one")
    .argument("[stream]", "the stream's name");
  withExamples(withCloud(command), "millrace streams lag", "millrace streams lag orders-events").action(
    cli.action(async (word: string | undefined, options: CommonOptions) => {
      const client = await cli.connect(options);
      const plan = await client.plan();
      const names = word === undefined ? namesOf(plan, "stream") : [resolveName(plan, "stream", word)];
      const lags = await Promise.all(
        names.map(async (stream) => (await client.streams.lag(stream)).map((lag) => ({ stream, ...lag }))),
      );
      if (options.json) return printJson(cli.terminal, lags.flat());
      if (lags.flat().length === 0) return cli.terminal.note("no groups of readers");
      cli.terminal.print(word === undefined ? renderGroups(lags.flat(), cli) : renderLags(lags.flat(), cli));
    }),
  );
}

type StreamLag = GroupLag & { readonly stream: string };

const renderGroups = (lags: readonly StreamLag[], { terminal }: Cli): string =>
  renderTable(
    ["STREAM", "GROUP", "LAG"],
    lags.map(({ stream, group, lag }) => [stream, plain(group), String(lag)]),
    terminal,
  );

const renderLags = (lags: readonly StreamLag[], { terminal }: Cli): string =>
  renderTable(
    ["GROUP", "PARTITION", "NEXT", "LAG"],
    lags.flatMap(({ group, partitions }) =>
      partitions.map(({ partition, next, lag }) => [plain(group), ...[partition, next, lag].map(String)]),
    ),
    terminal,
  );
