import type { Command } from "commander";
import type { Task, TaskClient } from "../../runtime/tasks/task.ts";
import type { Duration } from "../../shared/duration.ts";
import { type Cli, printJson } from "../cli.ts";
import { EXIT } from "../exit.ts";
import { readPayload } from "../input.ts";
import { resolveName } from "../names.ts";
import {
  type CommonOptions,
  parseDuration,
  parsePair,
  parseTime,
  parseWhole,
  withCloud,
  withExamples,
} from "../options.ts";
import { renderRunBar, renderRunLine } from "../render/run.ts";
import { indentJson, plain } from "../render/text.ts";

interface SubmitOptions extends CommonOptions {
  readonly id?: string;
  readonly tenant?: string;
  readonly priority?: number;
  readonly delay?: Duration;
  readonly expires?: Duration;
  readonly deadline?: string;
  readonly tag?: Readonly<Record<string, string>>;
  readonly again?: true;
  readonly wait?: true;
}

/** `millrace tasks submit …` */
export function addSubmit(tasks: Command, cli: Cli): void {
  const command = tasks
    .command("submit")
    .description("start a run, or answer the one that has this id already")
    .argument("<task>", "the task's name, or its construct's")
    .argument("[payload]", "JSON, @file, or - for standard input (default: null)")
    .option("--id <id>", "the run's id: the same id never runs twice (default: one of the dispatcher's)")
    .option("--tenant <tenant>", "whose run it is")
    .option("--priority <number>", "higher first, 0 is ordinary", parseWhole(-1_000_000, 1_000_000))
    .option("--delay <time>", "starts no sooner, such as 10m", parseDuration)
    .option("--expires <time>", "gives up if not started within this time, such as 2h", parseDuration)
    .option("--deadline <time>", 'when you want it finished, such as "2026-11-21 08:15"', parseTime)
    .option("--tag <name=value>", "a tag; may be repeated", parsePair)
    .option("--again", "make a new run even if the id is known")
    .option("--wait", "wait until it is over, and show the result; the exit code is 1 unless it succeeds");
  withExamples(
    withCloud(command),
    `millrace tasks submit videos '{"bucket":"videos-uploads","object":"cat.mp4"}' --wait`,
    "millrace tasks submit resize @payload.json --id cat --tenant acme --tag size=4k",
    "jq … | millrace tasks submit resize - --delay 10m",
  ).action(
    cli.action(async (word: string, given: string | undefined, { wait, ...options }: SubmitOptions) => {
      const payload = await readPayload(given, cli.terminal);
      const client = await cli.connect(options);
      const task = resolveName(await client.plan(), "task", word);
      const run = await client.tasks.submit(task, payload, toSubmit(options));
      if (!wait) return report(cli, run, options);
      const ended = await waitFor(cli, client.tasks, run);
      if (options.json) printJson(cli.terminal, ended);
      else {
        cli.terminal.print(renderRunLine(ended, cli.terminal.colors));
        const { result = null } = (await client.tasks.audit(task, ended.id)) ?? {};
        if (result !== null) cli.terminal.print(indentJson(result));
      }
      return ended.status === "succeeded" ? EXIT.ok : EXIT.failed;
    }),
  );
}

function toSubmit({ id, tenant, priority, delay, expires, deadline, tag, again }: SubmitOptions) {
  return {
    by: "cli",
    ...(id !== undefined && { id }),
    ...(tenant !== undefined && { tenant }),
    ...(priority !== undefined && { priority }),
    ...(delay && { delay }),
    ...(expires && { expires }),
    ...(deadline !== undefined && { deadline }),
    ...(tag && { tags: tag }),
    ...(again && { again }),
  };
}

function report({ terminal }: Cli, run: Task, { json }: SubmitOptions): void {
  if (json) {
    printJson(terminal, run);
    return;
  }
  terminal.print(renderRunLine(run, terminal.colors));
  if (run.deduplicated) terminal.note("a run has this id already; --again makes a new one");
  else if (terminal.isLive) terminal.note(`follow it: millrace tasks logs ${run.task} ${plain(run.id)} --follow`);
}

async function waitFor({ terminal, signal }: Cli, tasks: TaskClient, { task, id }: Task): Promise<Task> {
  const live = terminal.live();
  try {
    const onProgress = (run: Task) => live.show(renderRunBar(run, terminal.colors));
    return await tasks.wait(task, id, { signal, onProgress });
  } catch (error) {
    if (signal.aborted) terminal.note(`the run goes on; end it with: millrace tasks stop ${task} ${plain(id)}`);
    throw error;
  } finally {
    live.clear();
  }
}
