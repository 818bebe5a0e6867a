import type { Command } from "commander";
import { systemClock } from "../../runtime/clock.ts";
import { type ErrorKind, isErrorKind, MillraceError } from "../../runtime/errors.ts";
import {
  WORKFLOW_STATUSES,
  type WorkflowClient,
  type WorkflowFilter,
  type WorkflowRun,
  type WorkflowStatus,
} from "../../runtime/workflows/run.ts";
import { type Duration, toMilliseconds } from "../../shared/duration.ts";
import { type Cli, printJson } from "../cli.ts";
import { EXIT, UsageError } from "../exit.ts";
import { readPayload } from "../input.ts";
import { resolveName } from "../names.ts";
import {
  type CommonOptions,
  parseDuration,
  parseTime,
  parseWhole,
  someOf,
  withCloud,
  withExamples,
} from "../options.ts";
import { renderFlowLine, renderFlowRuns, renderHistory } from "../render/flow.ts";
import { plain } from "../render/text.ts";
import { addGraph, workflowPlanOf } from "./flows-graph.ts";
import { addStart } from "./flows-start.ts";

/** `millrace flows …` */
export function addFlows(program: Command, cli: Cli): void {
  const flows = program.command("flows").description("start runs of workflows and look after them");
  addStart(flows, cli);
  addList(flows, cli);
  addGet(flows, cli);
  addSteer(flows, cli, "stop", "ask what runs to end, then end the run");
  addSteer(flows, cli, "retry", "go on with failed or stopped runs from the steps that did not succeed");
  addAnswer(flows, cli);
  addGraph(flows, cli);
}

interface ListOptions extends CommonOptions {
  readonly status?: readonly WorkflowStatus[];
  readonly since?: Duration;
  readonly after?: string;
  readonly before?: string;
  readonly prefix?: string;
  readonly limit: number;
}

function addList(flows: Command, cli: Cli): void {
  const command = flows
    .command("list")
    .description("list runs, newest first")
    .argument("<workflow>", "the workflow's name, or its construct's")
    .addOption(someOf("--status <status>", "only runs in this state", WORKFLOW_STATUSES))
    .option("--since <time>", "only runs started in the last, for example, 1h", parseDuration)
    .option("--after <time>", 'only runs started then or later, such as "2026-11-21 08:15"', parseTime)
    .option("--before <time>", "only runs started before", parseTime)
    .option("--prefix <prefix>", "only ids that begin with this")
    .option("--limit <count>", "most runs to list", parseWhole(1, Number.MAX_SAFE_INTEGER), 100);
  withExamples(
    withCloud(command),
    "millrace flows list orders --status failed --since 1h",
    "millrace flows list orders --json",
  ).action(
    cli.action(async (word: string, { limit, ...options }: ListOptions) => {
      const client = await cli.connect(options);
      const workflow = resolveName(await client.plan(), "workflow", word);
      const filter = toFilter(options, systemClock.now());
      const { runs, isCut } = await firstRuns(client.workflows, workflow, filter, limit);
      if (options.json) printJson(cli.terminal, runs);
      else if (runs.length === 0) cli.terminal.note("no runs");
      else cli.terminal.print(renderFlowRuns(runs, cli.terminal));
      if (isCut) cli.terminal.note(`there are more than ${limit}; raise --limit, or say which`);
    }),
  );
}

function toFilter({ status, since, after, before, prefix }: Omit<ListOptions, "limit">, now: number): WorkflowFilter {
  if (since !== undefined && after !== undefined) throw new UsageError("--since and --after: give one of them");
  const from = since === undefined ? after : new Date(now - toMilliseconds(since)).toISOString();
  return {
    ...(status && { status }),
    ...(from !== undefined && { after: from }),
    ...(before !== undefined && { before }),
    ...(prefix !== undefined && { prefix }),
  };
}

const PAGE = 1000;

async function firstRuns(workflows: WorkflowClient, workflow: string, filter: WorkflowFilter, limit: number) {
  const runs: WorkflowRun[] = [];
  let cursor: string | undefined;
  do {
    const size = Math.min(PAGE, limit - runs.length);
    const page = await workflows.list(workflow, { ...filter, limit: size, ...(cursor !== undefined && { cursor }) });
    runs.push(...page.runs);
    cursor = page.next;
  } while (cursor !== undefined && runs.length < limit);
  return { runs, isCut: cursor !== undefined };
}

function addGet(flows: Command, cli: Cli): void {
  const command = flows
    .command("get")
    .description("show all that is known of a run: its steps with their states, input, output")
    .argument("<workflow>", "the workflow's name, or its construct's")
    .argument("<id>", "the run's id");
  withExamples(
    withCloud(command),
    "millrace flows get orders order-17",
    "millrace flows get orders order-17 --json",
  ).action(
    cli.action(async (word: string, id: string, options: CommonOptions) => {
      const client = await cli.connect(options);
      const { name, definition } = workflowPlanOf(await client.plan(), word);
      const history = await client.workflows.get(name, id);
      if (!history) throw new MillraceError("not-found", `${name} has no run "${id}"`);
      if (options.json) printJson(cli.terminal, history);
      else cli.terminal.print(renderHistory(history, definition, cli.terminal));
    }),
  );
}

function addSteer(flows: Command, cli: Cli, verb: "stop" | "retry", description: string): void {
  const command = flows
    .command(verb)
    .description(description)
    .argument("<workflow>", "the workflow's name, or its construct's")
    .argument("<id...>", "the runs' ids");
  withExamples(withCloud(command), `millrace flows ${verb} orders order-17`).action(
    cli.action(async (word: string, ids: readonly string[], options: CommonOptions) => {
      const client = await cli.connect(options);
      const workflow = resolveName(await client.plan(), "workflow", word);
      const done: WorkflowRun[] = [];
      for (const id of ids) {
        const run = await client.workflows[verb](workflow, id);
        done.push(run);
        if (!options.json) cli.terminal.print(renderFlowLine(run, cli.terminal.colors));
      }
      if (options.json) printJson(cli.terminal, done);
    }),
  );
}

interface AnswerOptions extends CommonOptions {
  readonly error?: string;
  readonly kind?: ErrorKind;
}

function addAnswer(flows: Command, cli: Cli): void {
  const command = flows
    .command("answer")
    .description("answer a step that waits for somebody")
    .argument("<callback>", "what the step waits for, as it was asked with and as get shows it")
    .argument("[output]", "the step's output: JSON, @file, or - for standard input (default: null)")
    .option("--error <message>", "fail the step with this in place of an output")
    .option("--kind <kind>", "of the error (default: failed)", parseKind);
  withExamples(
    withCloud(command),
    `millrace flows answer orders-flow/order-17/approve '{"ok":true}'`,
    'millrace flows answer orders-flow/order-17/approve --error "not today" --kind refused',
  ).action(
    cli.action(async (callback: string, given: string | undefined, { error, kind, ...options }: AnswerOptions) => {
      if (error !== undefined && given !== undefined) throw new UsageError("an output and --error: give one of them");
      if (kind !== undefined && error === undefined) throw new UsageError("--kind is that of an --error: give one");
      const client = await cli.connect(options);
      const answer =
        error === undefined
          ? { output: await readPayload(given, cli.terminal, "output") }
          : { error: { kind: kind ?? ("failed" as const), message: error } };
      await client.workflows.answer(callback, answer);
      if (options.json) printJson(cli.terminal, { callback, answer });
      else cli.terminal.print(`${plain(callback)} is answered`);
      return EXIT.ok;
    }),
  );
}

function parseKind(given: string): ErrorKind {
  if (isErrorKind(given)) return given;
  throw new UsageError(`--kind: "${given}" is no kind of an error, such as failed, refused, bad-input or not-found`);
}
