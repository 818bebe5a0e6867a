import { setTimeout as pause } from "node:timers/promises";
import type { Command } from "commander";
import { systemClock } from "../../runtime/clock.ts";
import { MillraceError } from "../../runtime/errors.ts";
import { isOver, type WorkflowClient, type WorkflowHistory, type WorkflowRun } from "../../runtime/workflows/run.ts";
import { type Cli, printJson } from "../cli.ts";
import { EXIT } from "../exit.ts";
import { readPayload } from "../input.ts";
import { resolveName } from "../names.ts";
import { type CommonOptions, withCloud, withExamples } from "../options.ts";
import { renderAtWork, renderEnd, renderFlowLine } from "../render/flow.ts";
import { plain } from "../render/text.ts";

/** Between two looks at a run, in milliseconds. */
const LOOK_AGAIN = 500;

interface StartOptions extends CommonOptions {
  readonly id?: string;
  readonly wait?: true;
}

/** `millrace flows start …` */
export function addStart(flows: Command, cli: Cli): void {
  const command = flows
    .command("start")
    .description("start a run")
    .argument("<workflow>", "the workflow's name, or its construct's")
    .argument("[input]", "JSON, @file, or - for standard input (default: null)")
    .option("--id <id>", "the run's id; a run that has it already is answered (default: a random one)")
    .option("--wait", "wait for the end, and show the output; the exit code tells how it went");
  withExamples(
    withCloud(command),
    `millrace flows start orders '{"items":3}' --id order-17 --wait`,
    "millrace flows start orders @order.json",
  ).action(
    cli.action(async (word: string, given: string | undefined, { id, wait, ...options }: StartOptions) => {
      const input = await readPayload(given, cli.terminal, "input");
      const client = await cli.connect(options);
      const workflow = resolveName(await client.plan(), "workflow", word);
      const run = await client.workflows.start(workflow, input, id === undefined ? {} : { id });
      if (!wait) return report(cli, run, options);
      const ended = await waitFor(cli, client.workflows, run);
      if (options.json) printJson(cli.terminal, ended.run);
      else cli.terminal.print(renderEnd(ended, cli.terminal.colors));
      return exitCodeFor(ended.run);
    }),
  );
}

/** The exit code of a verb that waited for a run. */
export const exitCodeFor = ({ status }: WorkflowRun): number => (status === "succeeded" ? EXIT.ok : EXIT.failed);

function report({ terminal }: Cli, run: WorkflowRun, { json }: CommonOptions): void {
  if (json) {
    printJson(terminal, run);
    return;
  }
  terminal.print(renderFlowLine(run, terminal.colors));
  if (run.deduplicated) terminal.note("a run has this id already; choose another, or retry it if it failed");
  else if (terminal.isLive)
    terminal.note(`follow it: millrace flows graph ${run.workflow} --run ${plain(run.id)} --follow`);
}

async function waitFor({ terminal, signal }: Cli, workflows: WorkflowClient, { workflow, id }: WorkflowRun) {
  const live = terminal.live();
  try {
    for await (const history of watch(workflows, workflow, id, signal)) {
      if (isOver(history.run.status)) return history;
      live.show(renderAtWork(history, terminal.colors, systemClock.now()));
    }
    throw new MillraceError("unavailable", `${workflow} "${id}" is gone`);
  } catch (error) {
    if (signal.aborted) terminal.note(`the run goes on; end it with: millrace flows stop ${workflow} ${plain(id)}`);
    throw error;
  } finally {
    live.clear();
  }
}

/** A run again and again, until it is over. */
export async function* watch(
  workflows: WorkflowClient,
  workflow: string,
  id: string,
  signal: AbortSignal,
): AsyncGenerator<WorkflowHistory, void, undefined> {
  for (;;) {
    const history = await workflows.get(workflow, id);
    if (!history) throw new MillraceError("not-found", `${workflow} has no run "${id}"`);
    yield history;
    if (isOver(history.run.status)) return;
    await pause(LOOK_AGAIN, undefined, { signal });
  }
}
