import { execFile, fork } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import {
  type ConfigMap,
  type Deployment,
  LocalWorkspace,
  PulumiCommand,
  type Stack,
} from "@pulumi/pulumi/automation/index.js";
import { type Outcome, outcomeOf } from "./outcome.ts";
import type { ProgramOrder } from "./program.ts";
import type { Kept, Question } from "./stand-in.ts";

const exec = promisify(execFile);
const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/** The package of a cloud's provider, and so the name of its stand-in's file. */
export type Package = "alicloud" | "aws" | "kubernetes";

/** A copy of the repository that tests may edit, the CLI with a home and a backend of its own, and stand-ins for providers. */
export interface Engine {
  /** Where the copy is. */
  readonly folder: string;
  stack(name: string, program: string, config: Readonly<Record<string, Setting>>): Promise<TestStack>;
  /** What the stand-ins have. */
  resources(): Promise<readonly Kept[]>;
  /** Has a resource vanish without the engine's knowing. */
  lose(type: string, id: string): Promise<void>;
  /** Changes a file of the copy. */
  edit(file: string, change: (text: string) => string): Promise<void>;
  close(): Promise<void>;
}

/** A value of the stack's configuration, or one that is kept encrypted. */
export type Setting = string | { readonly secret: string };

/** One stack of a program. */
export interface TestStack {
  preview(): Promise<Outcome>;
  /** @param options.refresh whether it looks first at what is there; not by default */
  up(options?: { readonly refresh?: boolean }): Promise<Outcome>;
  refresh(): Promise<Outcome>;
  destroy(): Promise<Outcome>;
  /** As it is kept, with secrets encrypted. */
  state(): Promise<Deployment>;
}

/**
 * @param providers the packages of the providers that programs use
 * @throws if `MILLRACE_PULUMI` does not say where the CLI is
 */
export async function startEngine(providers: readonly Package[]): Promise<Engine> {
  const cli = process.env.MILLRACE_PULUMI;
  if (!cli) throw new Error("MILLRACE_PULUMI: name the Pulumi CLI; npm run test:real does");
  const standIns = await Promise.all(providers.map(startStandIn));
  const home = await mkdtemp(join(tmpdir(), "millrace-engine-"));
  const copy = join(home, "copy");
  await copyRepository(copy);
  const ask = async (question: Question) => (await Promise.all(standIns.map((one) => one.ask(question)))).flat();
  const root = join(home, "cli");
  await writeBriefCli(join(root, "bin"), cli);
  const pulumiCommand = await PulumiCommand.get({ root });
  const env = await environment(home, join(root, "bin"), standIns);
  return {
    folder: copy,
    stack: (name, program, config) => createStack({ copy, cli, env, pulumiCommand }, name, program, config),
    resources: () => ask({ ask: "resources" }),
    lose: async (type, id) => void (await ask({ lose: `${type} ${id}` })),
    async edit(file, change) {
      const path = join(copy, file);
      const before = await readFile(path, "utf8");
      const after = change(before);
      if (after === before) throw new Error(`${file} is as it was: the edit found nothing to change`);
      await writeFile(path, after);
    },
    async close() {
      await Promise.all(standIns.map((one) => one.close()));
      await rm(home, { recursive: true, force: true });
    },
  };
}

/** What a program needs; packages and tools that were fetched are shared. */
async function copyRepository(copy: string): Promise<void> {
  for (const name of ["lib", "stacks", "examples", "test/real/engine/programs", "package.json", "Pulumi.yaml"]) {
    await cp(join(ROOT, name), join(copy, name), { recursive: true, filter: (path) => !path.includes(".millrace") });
  }
  await symlink(join(ROOT, "node_modules"), join(copy, "node_modules"));
  const deploy = join(copy, "stacks/.millrace/deploy");
  await mkdir(deploy, { recursive: true });
  for (const name of ["tools", "packages"]) {
    const kept = join(ROOT, ".cache", name);
    await mkdir(kept, { recursive: true });
    await symlink(kept, join(deploy, name));
  }
}

/**
 * The CLI where Automation API looks for one. What that asks of it before and after each verb, and nobody here reads, is
 * answered at once: the CLI would be started four times more for every `up`.
 */
async function writeBriefCli(bin: string, cli: string): Promise<void> {
  const { stdout: version } = await exec(cli, ["version"]);
  const script = `#!/bin/sh
case "$1 $2" in
  "version "*) echo ${version.trim()} ;;
  "stack select") ;;
  "stack output") echo "{}" ;;
  "stack history") echo "[]" ;;
  *) exec "${cli}" "$@" ;;
esac
`;
  await mkdir(bin, { recursive: true });
  await writeFile(join(bin, "pulumi"), script, { mode: 0o755 });
}

async function startStandIn(provider: Package) {
  const file = fileURLToPath(new URL("stand-in.ts", import.meta.url));
  const child = fork(file, [provider], { execArgv: [], stdio: ["ignore", "pipe", "inherit", "ipc"] });
  const ended = once(child, "exit").then(() => {
    throw new Error(`the stand-in of ${provider} ended before it listened: see above`);
  });
  const [line] = (await Promise.race([once(child.stdout!, "data"), ended])) as [Buffer];
  ended.catch(() => {});
  return {
    address: `${provider}:${line.toString().trim()}`,
    async ask(question: Question): Promise<readonly Kept[]> {
      const answer = once(child, "message");
      child.send(question);
      return ((await answer) as [Kept[]])[0];
    },
    async close() {
      child.disconnect();
      if (child.exitCode === null) await once(child, "exit");
    },
  };
}

/** Nothing is downloaded, nobody is asked whether there is a newer version, and the backend is a folder. */
async function environment(home: string, bin: string, standIns: readonly { readonly address: string }[]) {
  const backend = join(home, "backend");
  await mkdir(backend);
  return {
    PATH: [bin, process.env.PATH].join(delimiter),
    PULUMI_HOME: join(home, "pulumi"),
    PULUMI_BACKEND_URL: `file://${backend}`,
    PULUMI_CONFIG_PASSPHRASE: "of this test alone",
    PULUMI_SKIP_UPDATE_CHECK: "true",
    PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
    PULUMI_DEBUG_PROVIDERS: standIns.map(({ address }) => address).join(),
  };
}

interface Place {
  readonly copy: string;
  readonly cli: string;
  readonly env: Readonly<Record<string, string>>;
  readonly pulumiCommand: PulumiCommand;
}

async function createStack(
  { copy, cli, env, pulumiCommand }: Place,
  stackName: string,
  program: string,
  config: Readonly<Record<string, Setting>>,
): Promise<TestStack> {
  // Its `main` says where relative paths of programs begin.
  const workDir = copy;
  const stack = await LocalWorkspace.createStack({ stackName, workDir }, { envVars: env, pulumiCommand });
  await stack.setAllConfig(settings(config));
  const order = { file: join(copy, program), folder: join(copy, "stacks"), workDir, stack: stackName };
  return {
    preview: () => runProgram({ ...order, verb: "preview", refresh: false }, env),
    up: ({ refresh = false } = {}) => runProgram({ ...order, verb: "up", refresh }, env),
    refresh: () => runVerb(stack, "refresh"),
    destroy: () => runVerb(stack, "destroy"),
    // Not `stack.exportStack()`, which shows secrets.
    async state() {
      const options = { cwd: workDir, env, maxBuffer: Number.POSITIVE_INFINITY };
      const { stdout } = await exec(cli, ["stack", "export", "--stack", stackName], options);
      return JSON.parse(stdout) as Deployment;
    },
  };
}

const settings = (config: Readonly<Record<string, Setting>>): ConfigMap =>
  Object.fromEntries(
    Object.entries(config).map(([name, value]) => [
      name,
      typeof value === "string" ? { value } : { value: value.secret, secret: true },
    ]),
  );

const runVerb = (stack: Stack, verb: "refresh" | "destroy"): Promise<Outcome> =>
  outcomeOf((onEvent, onOutput) => stack[verb]({ onEvent, onOutput, color: "never" }));

async function runProgram(order: ProgramOrder, env: Readonly<Record<string, string>>): Promise<Outcome> {
  const file = fileURLToPath(new URL("program.ts", import.meta.url));
  const child = fork(file, {
    execArgv: [],
    env: { ...process.env, ...env },
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  let said = "";
  child.stderr!.on("data", (chunk: Buffer) => {
    said += chunk;
  });
  // Not "exit", after which what it sent and said may still be on its way.
  const ended = once(child, "close");
  child.send(order);
  const outcome = await Promise.race([
    once(child, "message").then(([message]) => message as Outcome),
    ended.then(() => ({ steps: [], error: `the program's process ended: ${said}` })),
  ]);
  await ended;
  return outcome;
}
