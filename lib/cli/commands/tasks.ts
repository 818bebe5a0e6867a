import type { Command } from "commander";
import { systemClock } from "../../runtime/clock.ts";
import { MillraceError } from "../../runtime/errors.ts";
import type { Task, TaskClient, TaskFilter } from "../../runtime/tasks/task.ts";
import { type Cli, printJson } from "../cli.ts";
import { type FilterOptions, toFilter, withFilter } from "../filter.ts";
import { resolveName } from "../names.ts";
import { type CommonOptions, parseWhole, withCloud, withExamples } from "../options.ts";
import { renderAudit, renderLogLine, renderRuns } from "../render/run.ts";
import { addSteer } from "./tasks-steer.ts";
import { addSubmit } from "./tasks-submit.ts";

/** `millrace tasks …` */
export function addTasks(program: Command, cli: Cli): void {
  const tasks = program.command("tasks").description("submit tasks and look after their runs");
  addSubmit(tasks, cli);
  addList(tasks, cli);
  addGet(tasks, cli);
  addSteer(tasks, cli, "stop");
  addSteer(tasks, cli, "retry");
  addLogs(tasks, cli);
}

function addList(tasks: Command, cli: Cli): void {
  const command = tasks
    .command("list")
    .description("list runs, newest first")
    .argument("<task>", "the task's name, or its construct's")
    .option("--limit <count>", "most runs to list", parseWhole(1, Number.MAX_SAFE_INTEGER), 100);
  withExamples(
    withCloud(withFilter(command)),
    "millrace tasks list videos --status failed --since 1h",
    "millrace tasks list videos --tenant acme --tag size=4k --json",
  ).action(
    cli.action(async (word: string, { limit, ...options }: FilterOptions & { limit: number }) => {
      const client = await cli.connect(options);
      const task = resolveName(await client.plan(), "task", word);
      const { runs, isCut } = await firstRuns(client.tasks, task, toFilter(options, systemClock.now()), limit);
      if (options.json) printJson(cli.terminal, runs);
      else if (runs.length === 0) cli.terminal.note("no runs");
      else cli.terminal.print(renderRuns(runs, cli.terminal));
      if (isCut) cli.terminal.note(`there are more than ${limit}; raise --limit, or say which`);
    }),
  );
}

const PAGE = 1000;

async function firstRuns(tasks: TaskClient, task: string, filter: TaskFilter, limit: number) {
  const runs: Task[] = [];
  let cursor: string | undefined;
  do {
    const size = Math.min(PAGE, limit - runs.length);
    const page = await tasks.list(task, { ...filter, limit: size, ...(cursor !== undefined && { cursor }) });
    runs.push(...page.tasks);
    cursor = page.next;
  } while (cursor !== undefined && runs.length < limit);
  return { runs, isCut: cursor !== undefined };
}

function addGet(tasks: Command, cli: Cli): void {
  const command = tasks
    .command("get")
    .description("show all that is known of a run: attempts, events, payload, result")
    .argument("<task>", "the task's name, or its construct's")
    .argument("<id>", "the run's id");
  withExamples(withCloud(command), "millrace tasks get videos cat", "millrace tasks get videos cat --json").action(
    cli.action(async (word: string, id: string, options: CommonOptions) => {
      const client = await cli.connect(options);
      const task = resolveName(await client.plan(), "task", word);
      const audit = await client.tasks.audit(task, id);
      if (!audit) throw new MillraceError("not-found", `${task} has no run "${id}"`);
      if (options.json) printJson(cli.terminal, audit);
      else cli.terminal.print(renderAudit(audit, cli.terminal));
    }),
  );
}

function addLogs(tasks: Command, cli: Cli): void {
  const command = tasks
    .command("logs")
    .description("show a run's log")
    .argument("<task>", "the task's name, or its construct's")
    .argument("<id>", "the run's id")
    .option("--follow", "go on until the run is over");
  withExamples(withCloud(command), "millrace tasks logs videos cat --follow").action(
    cli.action(
      async (word: string, id: string, { follow = false, ...options }: CommonOptions & { follow?: boolean }) => {
        const client = await cli.connect(options);
        const task = resolveName(await client.plan(), "task", word);
        for await (const line of client.tasks.logs(task, id, { follow, signal: cli.signal })) {
          cli.terminal.print(
            options.json ? JSON.stringify(line) : renderLogLine(line, cli.terminal.colors, { isWhole: true }),
          );
        }
      },
    ),
  );
}
