import { readFileSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { types } from "node:util";
import * as pulumi from "@pulumi/pulumi";
import { planOf, startEvaluation } from "../parts/cloud.ts";
import type { Plan } from "../parts/plan.ts";
import type { Problem } from "../shared/problem.ts";
import { explain } from "./explain.ts";
import { isModule, loadUserPrograms } from "./loader.ts";
import { stubMocks } from "./mocks.ts";
import { readOutputs } from "./outputs.ts";

/** What the process that evaluates reads from its standard input. */
export interface EvaluationRequest {
  readonly program: string;
  readonly project: string;
  readonly stack: string;
  readonly config: Readonly<Record<string, string>>;
  readonly secrets: readonly string[];
  /** After that long it is ended. */
  readonly milliseconds: number;
}

/** What it writes, once, to file descriptor 3: the program may print whatever it likes. */
export interface EvaluationReport {
  readonly plan: Plan;
  readonly outputs: Readonly<Record<string, unknown>>;
  readonly problems: readonly Problem[];
  readonly warnings: readonly string[];
  /** The user's files that were loaded, absolute paths. */
  readonly inputs: readonly string[];
  /** What the program threw, with the user's part of its stack. */
  readonly error?: string;
}
const REPORT = 3;

const evaluation = startEvaluation({ builds: false });
const inputs = loadUserPrograms();
const warnings: string[] = [];
const exit = process.exit.bind(process);
const request = JSON.parse(readFileSync(0, "utf8")) as EvaluationRequest;

process.setSourceMapsEnabled(true);
process.on("uncaughtException", fail);
process.on("unhandledRejection", fail);
process.on("beforeExit", () => fail(new Error("it awaits something that never comes")));
process.exit = (code) => fail(new Error(`it ends its own process: process.exit(${code ?? ""})`));
// In case nobody is left to end it.
setTimeout(() => exit(1), request.milliseconds + 1000).unref();
evaluate(request).then((outputs) => report({ outputs }), fail);

async function evaluate({ program, project, stack, config, secrets }: EvaluationRequest) {
  for (const runtime of pulumiRuntimes(program)) {
    await runtime.setMocks(
      stubMocks((warning) => warnings.push(warning)),
      project,
      stack,
      false,
    );
    runtime.setAllConfig({ ...config }, [...secrets]);
  }
  let outputs: Readonly<Record<string, unknown>> = {};
  await pulumi.runtime.runInPulumiStack(async () => {
    outputs = await readOutputs(await exportsOf(program));
    return {};
  });
  await pulumi.runtime.disconnect();
  return outputs;
}

/** Ours and the program's own: two copies keep what they are connected to apart. */
function pulumiRuntimes(program: string): readonly (typeof pulumi.runtime)[] {
  try {
    const { runtime } = createRequire(program)("@pulumi/pulumi") as typeof pulumi;
    return runtime === pulumi.runtime ? [runtime] : [runtime, pulumi.runtime];
  } catch {
    return [pulumi.runtime];
  }
}

/** As `pulumi up` does: a function that is exported in place of outputs is called, and its answer awaited. */
async function exportsOf(program: string): Promise<unknown> {
  const exported = (await load(program)) as Record<string, unknown>;
  const main = typeof exported === "function" ? exported : exported.default;
  if (typeof main !== "function")
    return types.isModuleNamespaceObject(exported) ? (exported.default ?? exported) : exported;
  const { default: _, ...others } = exported;
  return { ...others, ...((await main()) as object | undefined) };
}

/** CommonJS is required: on Node 22, where modules are loaded by hooks, what is imported cannot require a module. */
async function load(program: string): Promise<unknown> {
  try {
    if (!isModule(program)) return createRequire(program)(program);
  } catch (error) {
    // An `await` at the top, in a file that does not say that it is a module.
    if ((error as NodeJS.ErrnoException).code !== "ERR_REQUIRE_ASYNC_MODULE") throw error;
  }
  const namespace = (await import(pathToFileURL(program).href)) as Record<string, unknown>;
  return namespace["module.exports"] ?? namespace;
}

function fail(error: unknown): never {
  const found = error instanceof Error && "problems" in error ? (error.problems as readonly Problem[]) : [];
  evaluation.problems.push(...found);
  if (found.length > 0) return report({});
  const said = explain(error, inputs);
  if (evaluation.problems.length === 0) return report({ error: said });
  // What was refused has no outputs; a program that goes on to use them stumbles over that.
  warnings.push(`not all was read: ${said}`);
  return report({});
}

function report(answer: { readonly outputs?: EvaluationReport["outputs"]; readonly error?: string }): never {
  const full: EvaluationReport = {
    plan: planOf(evaluation.clouds),
    outputs: {},
    problems: evaluation.problems,
    warnings,
    inputs: [...inputs].sort(),
    ...answer,
  };
  const bytes = Buffer.from(JSON.stringify(full));
  for (let written = 0; written < bytes.length; ) written += writeSync(REPORT, bytes, written);
  // Pulumi counts its unfinished promises at the exit and complains; after a report nobody cares.
  process.removeAllListeners("exit");
  return exit(0);
}
