import { existsSync } from "node:fs";
import { mkdir, readdir, rm, symlink } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { type FSWatcher, watch } from "chokidar";
import { type Bundle, bundle } from "../../bundle/bundle.ts";
import { BundleError, formatBundleProblem } from "../../bundle/bundle-error.ts";
import { checkParts } from "../../parts/check.ts";
import type { FunctionPlan, Plan } from "../../parts/plan.ts";
import { secretValues } from "../../program/config.ts";
import { type Evaluated, evaluate, ProgramError } from "../../program/evaluate.ts";
import { toErrorRecord } from "../../runtime/errors.ts";
import type { Log } from "../../runtime/handler.ts";
import { ProblemsError, refuse, together } from "../../shared/problem.ts";
import { SUPPORT } from "../support.ts";
import { LocalHost, type LocalHostOptions } from "./host/host.ts";
import type { DevEvent, DevOptions, DevSession } from "./host/inspect.ts";
import { type LocalServer, serveLocal } from "./host/server.ts";
import { findTools } from "./host/tools.ts";

/** Editors save a file in several steps, and several files at once. */
const SAVING_MILLISECONDS = 50;
/** Between two looks for files that are not there. */
const LOOK_MILLISECONDS = 500;

/** What `millrace dev` takes, and what tests steer beside it. */
export interface StartDevOptions extends DevOptions {
  /** Where Pulumi.yaml lies. @default the working directory */
  readonly project?: string;
  /** @default edits are taken when they are saved */
  readonly watch?: boolean;
  readonly host?: Pick<LocalHostOptions, "clock" | "seed" | "concurrency">;
}

/** A running program, with what is behind it. */
export interface LocalSession extends DevSession {
  readonly host: LocalHost;
  readonly token: string;
  /** The folder that shows every bucket as a folder. */
  readonly dropFolder: string;
}

/**
 * Runs a program on this computer: reads its plan, bundles its functions, starts them, and takes every edit as soon
 * as it is saved. What a killed predecessor left undone in the folder goes on.
 *
 * @throws ProblemsError for a plan that cannot run, ProgramError for a program that cannot be read, BundleError for
 * code that cannot be bundled, MillraceError `refused` if the folder is in use.
 */
export async function startDev(options: StartDevOptions): Promise<LocalSession> {
  const program = new LocalProgram(options);
  return program.start();
}

class LocalProgram {
  readonly #options: StartDevOptions;
  readonly #folder: string;
  readonly #project: string;
  readonly #bundles = new Map<string, Bundle>();
  #evaluated: Evaluated | undefined;
  /** What the program last read depends on, taken or refused. */
  #wanted: readonly string[] = [];
  /** When the last reading of program and code began, in milliseconds since 1970. */
  #readAt = 0;
  #watcher: FSWatcher | undefined;
  #changed = new Set<string>();
  /** Changed in edits that were refused: what they ask for is still to be done. */
  readonly #refused = new Set<string>();
  #taking = Promise.resolve();
  #looking: NodeJS.Timeout | undefined;
  #isEnding = false;

  constructor(options: StartDevOptions) {
    this.#options = options;
    this.#folder = resolve(options.folder);
    this.#project = resolve(options.project ?? ".");
  }

  async start(): Promise<LocalSession> {
    const { onEvent, as, kafka } = this.#options;
    this.#readAt = Date.now();
    const { plan } = await this.#read();
    await this.#bundleAll(functionsOf(plan));
    const host = new LocalHost({
      ...this.#options.host,
      folder: this.#folder,
      limits: SUPPORT[as ?? plan.clouds[0]?.kind ?? "local"].limits,
      tools: await this.#tools(plan),
      log: warningLog(onEvent),
      ...(kafka !== undefined && { kafka: await kafkaAt(kafka) }),
    });
    try {
      return await this.#run(host, plan);
    } catch (error) {
      // Half started, it would keep its process alive and the folder locked.
      await this.#watcher?.close();
      await host.close();
      throw error;
    }
  }

  async #run(host: LocalHost, plan: Plan): Promise<LocalSession> {
    const { onEvent, port } = this.#options;
    await this.#pruneBundles();
    const unsubscribe = host.onChange(onEvent);
    await this.#deploy(host);
    const dropFolder = await host.openDropFolder();
    if (this.#options.watch ?? true) await this.#watch(host);
    const server = await serveLocal({ view: host, folder: this.#folder, ...(port !== undefined && { port }) });
    return session({
      host,
      server,
      plan,
      dropFolder,
      end: async () => {
        this.#isEnding = true;
        clearInterval(this.#looking);
        await this.#watcher?.close();
        await this.#taking;
        await server.close();
        await host.close();
        unsubscribe();
      },
    });
  }

  async #read(): Promise<Evaluated> {
    const { program, stack, as, onEvent } = this.#options;
    const evaluated = await evaluate({
      folder: this.#project,
      ...(program !== undefined && { program }),
      ...(stack !== undefined && { stack }),
      print: (text) => onEvent({ type: "warned", message: text.trimEnd() }),
    });
    this.#wanted = [...evaluated.inputs, ...functionsOf(evaluated.plan).flatMap(codeFiles)];
    refuse(together(evaluated.problems, as ? checkParts(evaluated.plan.parts, SUPPORT[as]) : []));
    for (const message of evaluated.warnings) onEvent({ type: "warned", message });
    this.#evaluated = evaluated;
    return evaluated;
  }

  async #bundleAll(functions: readonly FunctionPlan[]): Promise<void> {
    const made = await Promise.allSettled(
      functions.map(async (plan) => [plan.name, await this.#bundle(plan)] as const),
    );
    const faults = made.flatMap((one) => (one.status === "rejected" ? [one.reason as unknown] : []));
    if (faults.length > 0) throw allOf(faults);
    for (const one of made) if (one.status === "fulfilled") this.#bundles.set(...one.value);
  }

  /** Removes what earlier edits left, while the folder is ours; later a process may still run an old bundle. */
  async #pruneBundles(): Promise<void> {
    const folder = join(this.#folder, "bundles");
    const used = new Set([...this.#bundles.values()].map(({ hash }) => hash));
    const there = await readdir(folder).catch(() => []);
    const old = there.filter((hash) => !used.has(hash));
    await Promise.all(old.map((hash) => rm(join(folder, hash), { recursive: true, force: true })));
  }

  async #bundle({ handler, code, settings, install }: FunctionPlan): Promise<Bundle> {
    const outdir = join(this.#folder, "bundles");
    if (install.length > 0) await this.#linkPackages();
    return bundle({ handler, code, settings, entry: ENTRY, outdir, install, target: "node24" });
  }

  /** Node looks for packages above the bundle: in a folder outside the project, that way is to lead to the project's. */
  async #linkPackages(): Promise<void> {
    if (!relative(this.#project, this.#folder).startsWith("..")) return;
    const packages = packagesAbove(this.#project);
    const link = join(this.#folder, "node_modules");
    if (packages === undefined || existsSync(link)) return;
    await mkdir(this.#folder, { recursive: true });
    await symlink(packages, link, "junction").catch((error: NodeJS.ErrnoException) => {
      // Another function's bundle was quicker.
      if (error.code !== "EEXIST") throw error;
    });
  }

  async #deploy(host: LocalHost): Promise<void> {
    const { plan, config } = this.#evaluated!;
    const bundles = Object.fromEntries([...this.#bundles].map(([name, { file }]) => [name, file]));
    await host.deploy({ plan, bundles }, secretValues(plan, config));
  }

  async #tools(plan: Plan): Promise<Readonly<Record<string, string>>> {
    const names = functionsOf(plan).flatMap(({ tools }) => tools);
    const found = await findTools(names, {
      environment: process.env,
      project: this.#project,
      cache: join(this.#folder, "tools"),
    });
    for (const { warning } of Object.values(found)) {
      if (warning !== undefined) this.#options.onEvent({ type: "warned", message: warning });
    }
    return Object.fromEntries(Object.values(found).map(({ name, path }) => [name, path]));
  }

  async #watch(host: LocalHost): Promise<void> {
    const watcher = watch(this.#inputs(), { alwaysStat: true });
    this.#watcher = watcher;
    watcher.on("all", (event, path, stats) => {
      if (event === "addDir" || event === "unlinkDir") return;
      // Seen for the first time: an edit only if it was saved after we read it. By the time of its name, not of its
      // content, which a file that is moved here brings along.
      if (event === "add" && stats!.ctimeMs < this.#readAt) return;
      this.#note(host, path);
    });
    await new Promise<void>((ready) => watcher.once("ready", () => ready()));
  }

  #inputs(): string[] {
    return [
      ...new Set([
        ...this.#wanted,
        ...(this.#evaluated?.inputs ?? []),
        ...[...this.#bundles.values()].flatMap(({ inputs }) => inputs),
      ]),
    ];
  }

  #note(host: LocalHost, path: string): void {
    if (this.#changed.size === 0) setTimeout(() => this.#takeEdits(host), SAVING_MILLISECONDS);
    this.#changed.add(resolve(path));
  }

  /** A watcher misses a file that comes just while it is told of it: until the next edit, somebody else looks. */
  #lookForMissing(host: LocalHost): void {
    const missing = this.#inputs().filter((path) => !existsSync(path));
    if (missing.length === 0) return;
    this.#looking = setInterval(() => {
      const come = missing.filter((path) => existsSync(path));
      if (come.length > 0) clearInterval(this.#looking);
      for (const path of come) this.#note(host, path);
    }, LOOK_MILLISECONDS).unref();
  }

  #takeEdits(host: LocalHost): void {
    const changed = this.#changed;
    this.#changed = new Set();
    this.#taking = this.#taking.then(() => this.#take(host, changed));
  }

  /** A file of the program itself means a new plan; a handler's file means only new code. */
  async #take(host: LocalHost, saved: ReadonlySet<string>): Promise<void> {
    if (this.#isEnding) return;
    clearInterval(this.#looking);
    const { onEvent } = this.#options;
    const changed = new Set([...this.#refused, ...saved]);
    const began = performance.now();
    this.#readAt = Date.now();
    const before = new Map([...this.#bundles].map(([name, { hash }]) => [name, hash]));
    try {
      const isProgram = this.#evaluated!.inputs.some((input) => changed.has(input));
      const { plan } = isProgram ? await this.#read() : this.#evaluated!;
      const functions = functionsOf(plan);
      for (const name of this.#bundles.keys())
        if (!functions.some((part) => part.name === name)) this.#bundles.delete(name);
      await this.#bundleAll(functions.filter(({ name }) => isProgram || this.#isOutOfDate(name, changed)));
      await this.#deploy(host);
      this.#refused.clear();
      const renewed = [...this.#bundles].filter(([name, { hash }]) => before.get(name) !== hash).map(([name]) => name);
      onEvent({ type: "code.changed", functions: renewed, milliseconds: Math.round(performance.now() - began) });
    } catch (error) {
      // Ctrl-C ends the programs that read it, too.
      if (this.#isEnding) return;
      for (const path of saved) this.#refused.add(path);
      const { message } = toErrorRecord(error);
      onEvent({ type: "edit.refused", message, problems: error instanceof ProblemsError ? error.problems : [] });
      if (error instanceof ProgramError) this.#watcher?.add([...error.inputs]);
      if (error instanceof BundleError) this.#watcher?.add([...error.files]);
    }
    // One that is closed would watch again, and the process never end.
    if (this.#isEnding) return;
    this.#watcher?.add(this.#inputs());
    this.#lookForMissing(host);
  }

  #isOutOfDate(name: string, changed: ReadonlySet<string>): boolean {
    return this.#bundles.get(name)?.inputs.some((input) => changed.has(input)) ?? true;
  }
}

/** What is wrong with the code of all functions, each thing once, though several may share a file. */
function allOf(faults: readonly unknown[]): unknown {
  const problems = faults.flatMap((fault) => (fault instanceof BundleError ? fault.problems : []));
  const known = new Map(problems.map((problem) => [formatBundleProblem(problem), problem]));
  return faults.find((fault) => !(fault instanceof BundleError)) ?? new BundleError([...known.values()]);
}

/** The module that every local bundle starts with. */
const ENTRY = fileURLToPath(
  new URL(`./runtime/entry${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url),
);

const functionsOf = ({ parts }: Plan): readonly FunctionPlan[] => parts.filter((part) => part.kind === "function");

const codeFiles = ({ handler, code }: FunctionPlan): readonly string[] =>
  [handler, ...Object.values(code)].flatMap((plan) => ("file" in plan ? [plan.file] : []));

/** Only what the user should know; the rest is in the runs' own logs. */
function warningLog(onEvent: (event: DevEvent) => void): Log {
  const warn = (message: string) => onEvent({ type: "warned", message });
  return { debug: () => {}, info: () => {}, warn, error: warn };
}

interface SessionParts {
  readonly host: LocalHost;
  readonly server: LocalServer;
  readonly plan: Plan;
  readonly dropFolder: string;
  readonly end: () => Promise<void>;
}

function session({ host, server, plan, dropFolder, end }: SessionParts): LocalSession {
  let closing: Promise<void> | undefined;
  let settle: (result: Promise<void>) => void = () => {};
  const closed = new Promise<void>((resolve) => {
    settle = resolve;
  });
  const close = () => {
    if (!closing) {
      closing = end();
      settle(closing);
    }
    return closing;
  };
  return { host, plan, dropFolder, url: server.url, token: server.token, closed, close };
}

function packagesAbove(folder: string): string | undefined {
  const packages = join(folder, "node_modules");
  if (existsSync(packages)) return packages;
  return folder === dirname(folder) ? undefined : packagesAbove(dirname(folder));
}

/** Its client is loaded for those alone who name one. */
async function kafkaAt(brokers: string): Promise<NonNullable<LocalHostOptions["kafka"]>> {
  const { KafkaStreams } = await import("./host/kafka-streams.ts");
  return (options) => new KafkaStreams({ brokers: brokers.split(","), tls: false }, options);
}
