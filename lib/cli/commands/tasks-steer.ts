import type { Command } from "commander";
import { systemClock } from "../../runtime/clock.ts";
import { type ErrorRecord, toErrorRecord } from "../../runtime/errors.ts";
import type { BulkFilter, BulkOutcome, BulkTaskClient } from "../../runtime/tasks/bulk.ts";
import type { Task } from "../../runtime/tasks/task.ts";
import { type Cli, printJson } from "../cli.ts";
import { EXIT, UsageError } from "../exit.ts";
import { type FilterOptions, toFilter, withFilter } from "../filter.ts";
import { resolveName } from "../names.ts";
import { withCloud, withExamples } from "../options.ts";
import { progressBar } from "../render/progress.ts";
import { renderRunLine } from "../render/run.ts";
import { count, plain } from "../render/text.ts";

type Verb = keyof typeof VERBS;

const VERBS = {
  stop: { description: "ask runs to end; after their grace period they are ended", done: "stopped", all: "stopAll" },
  retry: { description: "run failed, stopped or expired runs again", done: "retried", all: "retryAll" },
} as const;

interface SteerOptions extends FilterOptions {
  readonly all?: true;
  readonly dryRun?: true;
  readonly yes?: true;
}

/** `millrace tasks stop …` and `millrace tasks retry …`: by id, or all that match. */
export function addSteer(tasks: Command, cli: Cli, verb: Verb): void {
  const command = withFilter(
    tasks
      .command(verb)
      .description(VERBS[verb].description)
      .argument("<task>", "the task's name, or its construct's")
      .argument("[id...]", "ids of runs; none: all that the options match"),
  )
    .option("--all", "every run of the task")
    .option("--dry-run", "only say how many there are")
    .option("--yes", "do not ask");
  withExamples(
    withCloud(command),
    `millrace tasks ${verb} videos cat dog`,
    `millrace tasks ${verb} videos --tenant acme --since 1h --dry-run`,
  ).action(
    cli.action(async (word: string, ids: string[], options: SteerOptions) => {
      const filter = toFilter(options, systemClock.now());
      checkMeant(verb, ids, filter, options);
      const client = await cli.connect(options);
      const task = resolveName(await client.plan(), "task", word);
      return ids.length > 0
        ? steerEach(cli, client.tasks, { verb, task, ids, options })
        : steerAll(cli, client.tasks, { verb, task, filter, options });
    }),
  );
}

function checkMeant(verb: Verb, ids: readonly string[], filter: BulkFilter, { all, dryRun }: SteerOptions): void {
  const isFiltered = Object.keys(filter).length > 0;
  if (ids.length > 0 && (isFiltered || all || dryRun))
    throw new UsageError(`tasks ${verb}: name ids, or say by options which runs; not both`);
  if (ids.length === 0 && !isFiltered && !all)
    throw new UsageError(`tasks ${verb}: name ids, say by options which runs, or --all`);
}

interface Each {
  readonly verb: Verb;
  readonly task: string;
  readonly ids: readonly string[];
  readonly options: SteerOptions;
}

async function steerEach(
  { terminal }: Cli,
  tasks: BulkTaskClient,
  { verb, task, ids, options }: Each,
): Promise<number> {
  const answers: (Task | { readonly id: string; readonly error: ErrorRecord })[] = [];
  for (const id of ids) {
    try {
      const run = await tasks[verb](task, id, { by: "cli" });
      answers.push(run);
      if (!options.json) terminal.print(renderRunLine(run, terminal.colors));
    } catch (error) {
      const { kind, message } = toErrorRecord(error);
      if (kind === "unavailable") throw error;
      answers.push({ id, error: { kind, message } });
      if (!options.json) terminal.note(`millrace: ${plain(message)}`);
    }
  }
  if (options.json) printJson(terminal, answers);
  return answers.some((answer) => !("task" in answer)) ? EXIT.failed : EXIT.ok;
}

interface All {
  readonly verb: Verb;
  readonly task: string;
  readonly filter: BulkFilter;
  readonly options: SteerOptions;
}

async function steerAll(cli: Cli, tasks: BulkTaskClient, { verb, task, filter, options }: All): Promise<number> {
  const { terminal } = cli;
  const { done, all } = VERBS[verb];
  const counted = await tasks[all](task, filter, { dryRun: true, by: "cli", signal: cli.signal });
  if (options.dryRun || counted.matched === 0) {
    if (options.json) printJson(terminal, counted);
    else terminal.print(`${count(counted.matched, "run")} of ${task} would be ${done}`);
    return EXIT.ok;
  }
  if (!options.yes && !(await isConfirmed(cli, `${verb} ${count(counted.matched, "run")} of ${task}?`))) {
    terminal.note("nothing was done");
    return EXIT.failed;
  }
  const outcome = await steerShown(cli, (onProgress) =>
    tasks[all](task, filter, { by: "cli", signal: cli.signal, onProgress }),
  );
  if (options.json) printJson(terminal, outcome);
  else terminal.print(`${count(outcome.changed, "run")} of ${task} ${done}`);
  for (const { id, error } of outcome.failed) terminal.note(`millrace: ${plain(id)}: ${plain(error.message)}`);
  return outcome.failed.length > 0 ? EXIT.failed : EXIT.ok;
}

async function isConfirmed({ terminal, signal }: Cli, question: string): Promise<boolean> {
  if (!terminal.canAsk) throw new UsageError(`${question} Confirm it with --yes, or look first with --dry-run`);
  return terminal.confirm(question, signal);
}

async function steerShown(
  { terminal }: Cli,
  work: (onProgress: (progress: { readonly matched: number; readonly done: number }) => void) => Promise<BulkOutcome>,
): Promise<BulkOutcome> {
  const live = terminal.live();
  try {
    return await work(({ matched, done }) => live.show(`${progressBar(done / matched)}  ${done} of ${matched}`));
  } finally {
    live.clear();
  }
}
