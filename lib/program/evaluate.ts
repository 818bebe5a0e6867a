import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { CloudKind, CodePlan, PartPlan, Plan } from "../parts/plan.ts";
import type { Problem } from "../shared/problem.ts";
import type { EvaluationReport, EvaluationRequest } from "./child.ts";
import { type Environment, readConfig, type StackConfig } from "./config.ts";
import { findProject } from "./project.ts";

export interface EvaluateArgs {
  /** Where Pulumi.yaml and the stacks' files lie. */
  readonly folder: string;
  /** The program's first module, absolute or from the folder. @default what Pulumi would run there */
  readonly program?: string;
  /** @default "dev" */
  readonly stack?: string;
  /** Overrides the config value `millrace:cloud`. @default the stack's own, and `local` where it has none */
  readonly cloud?: CloudKind;
  /** Values over the stack's configuration, by key; structured ones as JSON. @default none */
  readonly config?: Readonly<Record<string, string>>;
  /** Where encrypted config values come from; the program gets it whole. @default this process's */
  readonly environment?: Environment;
  /** Longest time of the program. @default 60,000 */
  readonly milliseconds?: number;
  /** Gets what the program prints, as it prints it. @default it goes to standard error */
  readonly print?: (text: string) => void;
}

/** A program's plan, and all there is to say about it. */
export interface Evaluated {
  readonly plan: Plan;
  /** What the program exports; secrets hidden. */
  readonly outputs: Readonly<Record<string, unknown>>;
  /** What the clouds refuse, over all constructs; with any of these the plan is not to be run. */
  readonly problems: readonly Problem[];
  readonly warnings: readonly string[];
  /** Absolute paths of the user's files it depends on: when one changes, the plan is out of date. */
  readonly inputs: readonly string[];
  readonly config: StackConfig;
}

/** A program that could not be read to its end, or declares nothing. */
export class ProgramError extends Error {
  override readonly name = "ProgramError";
  /** The files to watch for the repair. */
  readonly inputs: readonly string[];

  constructor(message: string, inputs: readonly string[]) {
    super(message);
    this.inputs = inputs;
  }
}

/**
 * Runs a Pulumi program in a process of its own, where nothing is deployed, and reads the plan of what it declares.
 *
 * @throws ProgramError if it throws, does not end, ends its process, or declares no Millrace part.
 */
export async function evaluate(args: EvaluateArgs): Promise<Evaluated> {
  const { stack = "dev", environment = process.env, milliseconds = 60_000 } = args;
  const project = findProject(args.folder, args.program);
  const config = readConfig({
    project,
    stack,
    environment,
    ...(args.cloud && { cloud: args.cloud }),
    ...(args.config && { over: args.config }),
  });
  const { program } = project;
  const placeholders = config.missing.map(({ key, placeholder }) => [key, placeholder] as const);
  const request: EvaluationRequest = {
    program,
    project: project.name,
    stack,
    config: { ...config.values, ...Object.fromEntries(placeholders) },
    secrets: config.secrets,
    milliseconds,
  };
  const print = args.print ?? ((text) => process.stderr.write(text));
  const report = await runChild(request, environment, print, [program, ...config.files]);
  const inputs = [...new Set([...report.inputs, program, ...config.files])];
  if (report.error !== undefined) throw new ProgramError(`${program} failed: ${report.error}`, inputs);
  if (report.plan.parts.length === 0 && report.problems.length === 0) {
    throw new ProgramError(
      `${program} declares no Millrace part: make a construct such as AsyncTask or VideoTranscodePipeline in it`,
      inputs,
    );
  }
  return {
    plan: report.plan,
    outputs: report.outputs,
    problems: [...report.problems, ...report.plan.parts.flatMap(missingFiles)],
    warnings: [...project.warnings, ...config.missing.map(missingValue), ...report.warnings],
    inputs,
    config,
  };
}

const THIS_FILE = fileURLToPath(import.meta.url);
const CHILD = fileURLToPath(new URL(`./child${THIS_FILE.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url));

/** Node says things of its own about how programs are written; they are not for the user here. */
const FLAGS = ["--disable-warning=ExperimentalWarning", "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON"];

async function runChild(
  request: EvaluationRequest,
  environment: Environment,
  print: (text: string) => void,
  inputs: readonly string[],
): Promise<EvaluationReport> {
  const { program, milliseconds } = request;
  const child = spawn(process.execPath, [...FLAGS, CHILD], {
    cwd: dirname(program),
    // Half of the time would go into compiling Pulumi's SDK, every time. https://nodejs.org/api/module.html#module-compile-cache
    env: { NODE_COMPILE_CACHE: join(tmpdir(), "node-compile-cache"), ...environment },
    stdio: ["pipe", "pipe", "pipe", "pipe"],
    timeout: milliseconds,
    killSignal: "SIGKILL",
  });
  const chunks: Buffer[] = [];
  child.stdio[3]!.on("data", (chunk: Buffer) => chunks.push(chunk));
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", print);
  child.stdin.on("error", () => {}).end(JSON.stringify(request));
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (...ended) => resolve(ended));
  });
  const answer = Buffer.concat(chunks).toString();
  if (answer && code === 0) return JSON.parse(answer) as EvaluationReport;
  const reason =
    signal === "SIGKILL"
      ? `did not end within ${milliseconds / 1000} seconds: it loops, or awaits something that does not come`
      : `ended before it was read (${signal ?? `exit code ${code}`})`;
  throw new ProgramError(`${program} ${reason}`, inputs);
}

const missingFiles = (part: PartPlan): readonly Problem[] => {
  if (part.kind !== "function") return [];
  const given: readonly [string, CodePlan][] = [["handler", part.handler], ...Object.entries(part.code)];
  return given.flatMap(([field, code]) =>
    "file" in code && !existsSync(code.file)
      ? [{ path: `${part.name}.${field}`, message: "there is no such file", given: code.file }]
      : [],
  );
};

const missingValue = ({ key, variable }: StackConfig["missing"][number]): string =>
  `${key} is encrypted: the program gets a placeholder; set ${variable} to give it the value`;
