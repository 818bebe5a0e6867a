import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { connectLocal } from "../clouds/local/client.ts";
import type { Cli, StartDev } from "./cli.ts";
import { addBuckets } from "./commands/buckets.ts";
import { addCompletion } from "./commands/completion.ts";
import { addDev } from "./commands/dev.ts";
import { addFlows } from "./commands/flows.ts";
import { addLogs } from "./commands/logs.ts";
import { addQueues } from "./commands/queues.ts";
import { addStreams } from "./commands/streams.ts";
import { addSynth } from "./commands/synth.ts";
import { addTasks } from "./commands/tasks.ts";
import { describeError, EXIT, exitCodeOf } from "./exit.ts";
import { processTerminal, type Terminal } from "./terminal.ts";

/**
 * Runs one command line, the words after `millrace`.
 *
 * @returns the exit code: 0 done, 1 failed, 2 not a command, 130 ended by Ctrl-C.
 */
export async function main(words: readonly string[], { startDev = startLocal } = {}): Promise<number> {
  const terminal = processTerminal(process);
  const interrupt = new AbortController();
  const onSignal = () => (interrupt.signal.aborted ? process.exit(EXIT.interrupted) : interrupt.abort());
  for (const signal of SIGNALS) process.on(signal, onSignal);
  // Whoever reads us may stop reading: `millrace tasks logs … | head`.
  process.stdout.on("error", (error: NodeJS.ErrnoException) =>
    process.exit(error.code === "EPIPE" ? EXIT.ok : EXIT.failed),
  );
  try {
    return await run(words, { terminal, signal: interrupt.signal, startDev });
  } catch (error) {
    return end(error, terminal, interrupt.signal);
  } finally {
    for (const signal of SIGNALS) process.off(signal, onSignal);
  }
}

const SIGNALS = ["SIGINT", "SIGTERM"] as const;

/** Loaded when asked for: it brings the bundler with it. */
const startLocal: StartDev = async (options) => (await import("../clouds/local/dev.ts")).startDev(options);

async function run(words: readonly string[], world: Omit<Cli, "action" | "connect">): Promise<number> {
  let code: number = EXIT.ok;
  const closing: (() => Promise<void>)[] = [];
  const cli: Cli = {
    ...world,
    async connect({ folder, stack }) {
      if (stack === undefined) return connectLocal({ folder });
      const { client, close } = await (await import("./deployed.ts")).connectToStack(stack);
      closing.push(close);
      return client;
    },
    action:
      (work) =>
      async (...args) => {
        code = (await work(...args)) ?? EXIT.ok;
      },
  };
  const program = millrace(cli);
  await addCompletion(program, words);
  nameVerbs(program);
  try {
    await program.parseAsync(words, { from: "user" });
  } finally {
    await Promise.all(closing.map((close) => close()));
  }
  return code;
}

function end(error: unknown, terminal: Terminal, signal: AbortSignal): number {
  if (error instanceof CommanderError) return exitCodeOf(error); // it has been said
  if (signal.aborted) return EXIT.interrupted;
  terminal.note(`millrace: ${describeError(error, process.env.MILLRACE_DEBUG === "1")}`);
  return exitCodeOf(error);
}

function millrace(cli: Cli): Command {
  const program = new Command("millrace")
    .description("Serverless data and media jobs as code: on a laptop, Alibaba Cloud, AWS and Kubernetes.")
    .version(version(), "-V, --version", "print the version")
    .exitOverride()
    .showHelpAfterError("(--help tells more)")
    .addHelpText("after", HELP);
  for (const add of [addDev, addSynth, addTasks, addFlows, addBuckets, addQueues, addStreams, addLogs])
    add(program, cli);
  return program;
}

/** A word that is no verb is answered with those there are. */
function nameVerbs(group: Command): void {
  if (group.commands.length === 0) return;
  const verbs = group
    .createHelp()
    .visibleCommands(group)
    .map((verb) => verb.name());
  group.showHelpAfterError(`(verbs: ${verbs.join(", ")}; --help tells more)`);
  group.commands.forEach(nameVerbs);
}

const HELP = `
Begin with:
  millrace dev                                     run the stack in this folder on this computer
  millrace buckets put videos-uploads cat.mp4      in another terminal: give it something to do
  millrace tasks list videos                       see what became of it

Exit codes: 0 done, 1 failed, 2 not a command, 130 ended by Ctrl-C. MILLRACE_DEBUG=1 shows where errors come from.`;

/** Of the package: two folders up, both here and in `dist`. */
function version(): string {
  const file = new URL("../../package.json", import.meta.url);
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}
