import type { Command } from "commander";
import type { PeekedMessage } from "../../runtime/system.ts";
import { type Duration, toSeconds } from "../../shared/duration.ts";
import { type Cli, printJson } from "../cli.ts";
import { readText } from "../input.ts";
import { namesOf, resolveName } from "../names.ts";
import { type CommonOptions, parseDuration, parsePair, parseWhole, withCloud, withExamples } from "../options.ts";
import { renderTable } from "../render/table.ts";
import { clip, count, plain } from "../render/text.ts";
import { formatTime } from "../render/time.ts";

/** `millrace queues …` */
export function addQueues(program: Command, cli: Cli): void {
  const queues = program.command("queues").description("look into queues, send, and redrive what failed");
  addLs(queues, cli);
  addPeek(queues, cli);
  addSend(queues, cli);
  addRedrive(queues, cli);
}

function addLs(queues: Command, cli: Cli): void {
  const command = queues.command("ls").description("list the queues and how many messages wait in each");
  withExamples(withCloud(command), "millrace queues ls").action(
    cli.action(async (options: CommonOptions) => {
      const client = await cli.connect(options);
      const names = namesOf(await client.plan(), "queue");
      const all = await Promise.all(names.map(async (name) => ({ name, ...(await client.queues.stats(name)) })));
      if (options.json) return printJson(cli.terminal, all);
      const rows = all.map(({ name, ready, inFlight, delayed, oldest }) => [
        name,
        ...[ready, inFlight, delayed].map(String),
        oldest ? formatTime(oldest) : "",
      ]);
      cli.terminal.print(renderTable(["QUEUE", "READY", "IN FLIGHT", "DELAYED", "OLDEST"], rows, cli.terminal));
    }),
  );
}

function addPeek(queues: Command, cli: Cli): void {
  const command = queues
    .command("peek")
    .description("show the first messages without receiving them")
    .argument("<queue>", "the queue's name")
    .option("--limit <count>", "messages to show", parseWhole(1, 1000), 10);
  withExamples(
    withCloud(command),
    "millrace queues peek videos-failures",
    "millrace queues peek videos-failures --json",
  ).action(
    cli.action(async (word: string, { limit, ...options }: CommonOptions & { limit: number }) => {
      const client = await cli.connect(options);
      const messages = await client.queues.peek(resolveName(await client.plan(), "queue", word), limit);
      if (options.json) return printJson(cli.terminal, messages);
      if (messages.length === 0) return cli.terminal.note("no messages");
      for (const message of messages) cli.terminal.print(renderMessage(message, cli));
    }),
  );
}

/** The longest body shown; `--json` has it whole. */
const BODY_LENGTH = 2000;

function renderMessage({ id, time, receives, attributes, body }: PeekedMessage, { terminal }: Cli): string {
  const { bold, dim } = terminal.colors;
  const pairs = Object.entries(attributes).map(([name, value]) => plain(`${name}=${value}`));
  const about = dim([`sent ${formatTime(time)}`, `received ${count(receives, "time")}`, ...pairs].join("  "));
  return `${bold(plain(id))}  ${about}\n  ${plain(clip(body, BODY_LENGTH))}`;
}

interface SendOptions extends CommonOptions {
  readonly attribute?: Readonly<Record<string, string>>;
  readonly delay?: Duration;
}

function addSend(queues: Command, cli: Cli): void {
  const command = queues
    .command("send")
    .description("send a message")
    .argument("<queue>", "the queue's name")
    .argument("<body>", "the message: a text, @file, or - for standard input")
    .option("--attribute <name=value>", "an attribute; may be repeated", parsePair)
    .option("--delay <time>", "how long it cannot be received yet, such as 30s", parseDuration);
  withExamples(
    withCloud(command),
    `millrace queues send videos-requests '{"bucket":"videos-uploads","object":"cat.mp4"}'`,
    "millrace queues send videos-requests @request.json --delay 5m",
  ).action(
    cli.action(async (word: string, given: string, { attribute, delay, ...options }: SendOptions) => {
      const client = await cli.connect(options);
      const queue = resolveName(await client.plan(), "queue", word);
      const id = await client.queues.send(queue, await readText(given, cli.terminal), {
        ...(attribute && { attributes: attribute }),
        ...(delay && { delay: toSeconds(delay) }),
      });
      if (options.json) return printJson(cli.terminal, { id });
      cli.terminal.print(`sent ${id}`);
    }),
  );
}

function addRedrive(queues: Command, cli: Cli): void {
  const command = queues
    .command("redrive")
    .description("move messages that failed back to where they failed, or to another queue")
    .argument("<queue>", "the queue they lie in")
    .option("--to <queue>", "where to (default: the queue they failed in)")
    .option("--limit <count>", "most messages to move (default: all)", parseWhole(1, Number.MAX_SAFE_INTEGER));
  withExamples(
    withCloud(command),
    "millrace queues redrive videos-dead-letters",
    "millrace queues redrive videos-dead-letters --to videos-requests --limit 10",
  ).action(
    cli.action(async (word: string, { to, limit, ...options }: CommonOptions & { to?: string; limit?: number }) => {
      const client = await cli.connect(options);
      const plan = await client.plan();
      const queue = resolveName(plan, "queue", word);
      const moved = await client.queues.redrive(queue, {
        ...(to !== undefined && { to: resolveName(plan, "queue", to) }),
        ...(limit !== undefined && { limit }),
      });
      if (options.json) return printJson(cli.terminal, { moved });
      cli.terminal.print(`moved ${count(moved, "message")}`);
      if (moved === 0 && (await client.queues.stats(queue)).ready > 0)
        cli.terminal.note(
          "what lies there failed in no queue: name one with --to, or run runs again: millrace tasks retry",
        );
    }),
  );
}
