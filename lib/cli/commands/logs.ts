import { once } from "node:events";
import { type Command, InvalidArgumentError } from "commander";
import {
  type ArchivedLine,
  type ArchivePlace,
  applicationFolders,
  archivedLines,
  type LineQuery,
} from "../../client/archived-lines.ts";
import type { SystemClient } from "../../client/system.ts";
import { volumeFolder } from "../../clouds/local/host/volumes.ts";
import type { FunctionPlan, Plan } from "../../parts/plan.ts";
import { systemClock } from "../../runtime/clock.ts";
import { MillraceError } from "../../runtime/errors.ts";
import { folderOf } from "../../shared/archive/application.ts";
import { type Duration, toMilliseconds } from "../../shared/duration.ts";
import type { Cli } from "../cli.ts";
import { UsageError } from "../exit.ts";
import { type CommonOptions, parseDuration, parseTime, parseWhole, withCloud, withExamples } from "../options.ts";
import { plain } from "../render/text.ts";
import { formatTime } from "../render/time.ts";

/** `millrace logs …` */
export function addLogs(program: Command, cli: Cli): void {
  const logs = program.command("logs").description("find lines in an archive of logs");
  addFind(logs, cli);
}

interface FindOptions extends CommonOptions {
  readonly app: string;
  readonly since?: Duration;
  readonly after?: string;
  readonly until?: string;
  readonly grep?: RegExp;
  readonly limit?: number;
}

function addFind(logs: Command, cli: Cli): void {
  const command = logs
    .command("find")
    .description("show an application's lines, from the bucket and from the volume alike")
    .argument("[archive]", "the archive's name (default: the only one)")
    .requiredOption("--app <application>", "the application; unknown is what names none")
    .option("--since <time>", "only lines of the last, for example, 1h", parseDuration)
    .option("--after <time>", 'only lines of then or later, such as "2026-11-21 08:15"', parseTime)
    .option("--until <time>", "only lines before", parseTime)
    .option("--grep <pattern>", "only lines in which this regular expression is found", parsePattern)
    .option("--limit <count>", "most lines", parseWhole(1, Number.MAX_SAFE_INTEGER));
  withExamples(
    withCloud(command),
    "millrace logs find --app orders --since 1h --grep 'status=5..'",
    'millrace logs find logs --app orders --after "2026-11-21 08:00" --until "2026-11-21 09:00" --json',
  ).action(
    cli.action(async (word: string | undefined, options: FindOptions) => {
      const client = await cli.connect(options);
      const { volume, ...place } = placeOf(await client.plan(), client, word);
      const isHere = options.stack === undefined;
      const archive = isHere ? { ...place, volume: volumeFolder(options.folder, volume) } : place;
      const found = await show(cli, archive, options);
      if (found === 0) {
        if (isHere) await expectApplication(archive, options.app);
        cli.terminal.note("no lines");
      }
      if (!isHere)
        cli.terminal.note(
          `lines that are not uploaded yet are on the volume ${volume}, which is not reached from here`,
        );
    }),
  );
}

function parsePattern(given: string): RegExp {
  try {
    return new RegExp(given, "u");
  } catch (error) {
    throw new InvalidArgumentError(`It must be a regular expression: ${(error as Error).message}.`);
  }
}

const TYPE = "LogArchivePipeline";

/** Where an archive lies, as its uploader is told. */
function placeOf(
  { constructs, parts }: Plan,
  client: SystemClient,
  word: string | undefined,
): ArchivePlace & { readonly volume: string } {
  const names = constructs.filter(({ type }) => type === TYPE).map(({ name }) => name);
  const known = names.length > 0 ? `there are ${names.join(", ")}` : "the plan has none";
  if (word === undefined && names.length !== 1) {
    throw new MillraceError("not-found", `say which archive of logs; ${known}`);
  }
  const name = word ?? names[0]!;
  if (!names.includes(name)) throw new MillraceError("not-found", `there is no archive of logs "${name}"; ${known}`);
  const uploader = parts.find(
    (part): part is FunctionPlan => part.name === `${name}-upload` && part.kind === "function",
  );
  const { links, settings } = uploader!;
  return {
    bucket: client.buckets.bucket(links.bucket!.part),
    prefix: settings.prefix as string,
    volume: links.volume!.part,
  };
}

/** Whoever asks for an application that is not there has written it otherwise than its senders do. */
async function expectApplication(archive: ArchivePlace, application: string): Promise<void> {
  const folders = await applicationFolders(archive, MOST_APPLICATIONS + 1);
  if (folders.length > MOST_APPLICATIONS || folders.includes(folderOf(application))) return;
  const plain = folders.filter((folder) => folderOf(folder) === folder);
  const others = folders.length - plain.length;
  const known = [...plain, ...(others > 0 ? [`${others} with other characters in their names`] : [])].join(", ");
  throw new MillraceError(
    "not-found",
    `there are no lines of "${application}"; applications with lines: ${known || "none yet"}`,
  );
}

/** With more of them their names help nobody. */
const MOST_APPLICATIONS = 30;

function queryOf({ app, since, after, until }: FindOptions): LineQuery {
  if (since !== undefined && after !== undefined) throw new UsageError("--since and --after: give one of them");
  const from = since === undefined ? after && Date.parse(after) : systemClock.now() - toMilliseconds(since);
  return {
    folder: folderOf(app),
    ...(typeof from === "number" && { since: from }),
    ...(until !== undefined && { until: Date.parse(until) }),
  };
}

/** How many lines there were. */
async function show(cli: Cli, place: ArchivePlace, options: FindOptions): Promise<number> {
  const { grep, limit = Number.POSITIVE_INFINITY, json, app } = options;
  let shown = 0;
  for await (const line of archivedLines(place, queryOf(options))) {
    cli.signal.throwIfAborted();
    if (grep && !grep.test(Buffer.from(line.value).toString())) continue;
    await write(json ? `${JSON.stringify(toJson(line, app))}\n` : textOf(line, cli));
    shown += 1;
    if (shown >= limit) break;
  }
  return shown;
}

/** Whoever reads slowly is waited for. */
async function write(text: string | Uint8Array): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, "drain");
}

/** For people with its time; for programs as it was received, byte by byte. */
function textOf({ timestamp, value }: ArchivedLine, { terminal }: Cli): string | Uint8Array {
  if (!terminal.isLive) return Buffer.concat([value, LINE_FEED]);
  const time = Math.abs(timestamp) <= FARTHEST_DATE ? formatTime(new Date(timestamp).toISOString()) : String(timestamp);
  return `${terminal.colors.dim(time)}  ${plain(Buffer.from(value).toString())}\n`;
}

const LINE_FEED = Buffer.from("\n");
/** https://tc39.es/ecma262/#sec-time-values-and-time-range */
const FARTHEST_DATE = 8.64e15;

const toJson = ({ stream, partition, offset, timestamp, value }: ArchivedLine, application: string) => ({
  ...{ application, stream, partition, offset, timestamp },
  value: textOrBytes(value),
});

/** A text where it is one, else `{ "base64": … }`. */
function textOrBytes(value: Uint8Array): string | { readonly base64: string } {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(value);
  } catch {
    return { base64: Buffer.from(value).toString("base64") };
  }
}
