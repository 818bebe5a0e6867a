import type { Command } from "commander";
import type { SystemClient } from "../../client/system.ts";
import type { Plan, WorkflowPlan } from "../../parts/plan.ts";
import { MillraceError } from "../../runtime/errors.ts";
import type { WorkflowHistory } from "../../runtime/workflows/run.ts";
import { type Cli, printJson } from "../cli.ts";
import { EXIT, UsageError } from "../exit.ts";
import { resolveName } from "../names.ts";
import { type CommonOptions, withCloud, withExamples } from "../options.ts";
import { renderFlowLine } from "../render/flow.ts";
import { renderGraph } from "../render/flow-graph.ts";
import { renderFlowMermaid } from "../render/flow-mermaid.ts";
import { exitCodeFor, watch } from "./flows-start.ts";

interface GraphOptions extends CommonOptions {
  readonly run?: string;
  readonly follow?: true;
  readonly mermaid?: true;
}

/** `millrace flows graph …` */
export function addGraph(flows: Command, cli: Cli): void {
  const command = flows
    .command("graph")
    .description("draw what a workflow does, and how far a run of it is")
    .argument("<workflow>", "the workflow's name, or its construct's")
    .option("--run <id>", "with the states of this run")
    .option("--follow", "go on drawing until the run is over; the exit code tells how it went")
    .option("--mermaid", "as a Mermaid flowchart");
  withExamples(
    withCloud(command),
    "millrace flows graph orders",
    "millrace flows graph orders --run order-17 --follow",
    "millrace flows graph orders --mermaid > orders.mmd",
  ).action(
    cli.action(async (word: string, options: GraphOptions) => {
      const { run, follow, mermaid } = options;
      if (follow && run === undefined) throw new UsageError("--follow: say which run, by --run");
      const client = await cli.connect(options);
      const plan = workflowPlanOf(await client.plan(), word);
      const history = run === undefined ? undefined : await look(cli, client, plan, run, options);
      if (options.json) printJson(cli.terminal, { workflow: plan.name, definition: plan.definition, ...history });
      else if (mermaid) cli.terminal.print(renderFlowMermaid(plan.definition, history?.steps));
      else cli.terminal.print(draw(cli, plan, history));
      return follow && history ? exitCodeFor(history.run) : EXIT.ok;
    }),
  );
}

/**
 * The workflow a word means.
 *
 * @throws `not-found`, with the names there are.
 */
export function workflowPlanOf(plan: Plan, word: string): WorkflowPlan {
  const name = resolveName(plan, "workflow", word);
  return plan.parts.find((part): part is WorkflowPlan => part.kind === "workflow" && part.name === name)!;
}

/** The run as it is; to follow it, as it was in the end. */
async function look(
  cli: Cli,
  client: SystemClient,
  plan: WorkflowPlan,
  id: string,
  { follow }: GraphOptions,
): Promise<WorkflowHistory> {
  if (!follow) {
    const history = await client.workflows.get(plan.name, id);
    if (!history) throw new MillraceError("not-found", `${plan.name} has no run "${id}"`);
    return history;
  }
  const live = cli.terminal.live();
  let last: WorkflowHistory | undefined;
  try {
    for await (const history of watch(client.workflows, plan.name, id, cli.signal)) {
      last = history;
      live.show(draw(cli, plan, history));
    }
  } finally {
    live.clear();
  }
  return last!;
}

const draw = ({ terminal }: Cli, { name, definition }: WorkflowPlan, history: WorkflowHistory | undefined): string => {
  const tree = renderGraph(name, definition, terminal.colors, history?.steps);
  return history ? `${tree}\n${renderFlowLine(history.run, terminal.colors)}` : tree;
};
