import type { Command } from "commander";
import type { CloudKind, Plan } from "../../parts/plan.ts";
import { formatProblem, type Problem, together } from "../../shared/problem.ts";
import { type Cli, printJson } from "../cli.ts";
import { EXIT } from "../exit.ts";
import { CLOUD_KINDS, oneOf, parsePair, withExamples, withJson } from "../options.ts";
import { renderMermaid } from "../render/mermaid.ts";
import { count } from "../render/text.ts";
import { renderTree } from "../render/tree.ts";

interface SynthOptions {
  readonly stack?: string;
  readonly cloud?: CloudKind;
  readonly config?: Readonly<Record<string, string>>;
  readonly as?: CloudKind;
  readonly graph?: true;
  readonly json?: true;
}

/** `millrace synth` */
export function addSynth(program: Command, cli: Cli): void {
  const command = program
    .command("synth")
    .description("show what a program declares, and what is wrong with it; no account is needed")
    .argument("[program]", "the program's first module (default: what Pulumi would run here)")
    .option("--stack <stack>", "whose configuration to use", "dev")
    .addOption(oneOf("--cloud <cloud>", "the cloud it is to be declared on, as millrace:cloud names it", CLOUD_KINDS))
    .option("--config <key=value>", "a value over the stack's configuration; may be repeated", parsePair)
    .addOption(oneOf("--as <cloud>", "check it against this cloud's limits", CLOUD_KINDS))
    .option("--graph", "as a Mermaid diagram");
  withExamples(
    withJson(command),
    "millrace synth",
    "millrace synth stacks/index.ts --as aws",
    "millrace synth --cloud alicloud --config millrace:region=cn-hangzhou --config 'millrace:contactGroups=[]'",
    "millrace synth --graph > docs/stack.mmd",
  ).action(
    cli.action(async (file: string | undefined, options: SynthOptions) => {
      const { evaluate } = await import("../../program/evaluate.ts"); // brings Pulumi's project reading with it
      const { plan, problems, warnings } = await evaluate({
        folder: process.cwd(),
        ...(file !== undefined && { program: file }),
        ...(options.stack !== undefined && { stack: options.stack }),
        ...(options.cloud && { cloud: options.cloud }),
        ...(options.config && { config: options.config }),
      });
      const found = options.as ? together(problems, await checkAs(plan, options.as)) : problems;
      if (options.json) printJson(cli.terminal, { plan, problems: found, warnings });
      else show(cli, plan, found, warnings, options);
      return found.length > 0 ? EXIT.failed : EXIT.ok;
    }),
  );
}

/** What another cloud than its own would refuse of it. */
async function checkAs({ parts, clouds }: Plan, kind: CloudKind): Promise<readonly Problem[]> {
  if (clouds.every((cloud) => cloud.kind === kind)) return [];
  const [{ SUPPORT }, { checkParts }] = await Promise.all([
    import("../../clouds/support.ts"),
    import("../../parts/check.ts"),
  ]);
  return checkParts(parts, SUPPORT[kind]);
}

function show(
  { terminal }: Cli,
  plan: Plan,
  problems: readonly Problem[],
  warnings: readonly string[],
  { graph, as }: SynthOptions,
): void {
  for (const warning of warnings) terminal.note(`warning: ${warning}`);
  if (problems.length === 0) {
    terminal.print(graph ? renderMermaid(plan) : renderTree(plan, { colour: terminal.isLive }));
    if (as) terminal.note(`${as} has no objection`);
    return;
  }
  terminal.note(`millrace: ${count(problems.length, "problem")}`);
  for (const problem of problems) terminal.note(`  ${formatProblem(problem)}`);
}
