/**
 * Each handler's code on each cloud: bytes of the zip and of what is in it, and how long a fresh process takes to import
 * it; on Node 20 for Function Compute, on Node 24 for the others.
 *
 * `import` is the code as it is deployed, up to where the platform could call it. `import and ports` goes on to where
 * every link's client is made, as the first invocation does. Both stand beside the vendor's own clients for these links,
 * bundled the same way, imported and made in the same round; on this computer, where there are none, beside an empty
 * module. Times are taken inside a process just forked, from before `import()` to its end; processes of all modules run
 * in turn. Node 20 is `MILLRACE_NODE20`, else the first Node 20 on the PATH.
 */
import { execFile, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { bundle } from "../lib/bundle/bundle.ts";
import { deployable } from "../lib/bundle/deployable.ts";
import type { CloudKind } from "../lib/parts/plan.ts";
import { writeEnvironment } from "../lib/shared/environment.ts";
import { functionOn, HANDLERS, type HandlerName } from "../test/bundle/functions.ts";
import { bareBundle, clientsOf } from "./bare-clients.ts";
import type { Bench, BenchOptions, BenchResult, Figure } from "./bench.ts";
import { PROJECT } from "./machine.ts";
import { alternate, median } from "./measure.ts";

export const bench: Bench = { title: "functions' code: size and cold import, beside the bare clients", run };

const CLOUDS: readonly CloudKind[] = ["local", "alicloud", "aws", "kubernetes"];
const LOADING = join(PROJECT, "bench", "programs", "loading-entry.ts");
/** Processes of one module in one run. */
const IMPORTS = 3;
const MEGABYTE = 1000;

/** One function's code, and what is imported of it. */
interface Made {
  readonly name: string;
  readonly cloud: CloudKind;
  readonly zipped: number;
  readonly unzipped: number;
  readonly deployed: string;
  /** The same with an entry that opens the ports. @default it has none */
  readonly loading?: string;
  readonly bare: { readonly name: string; readonly file: string };
}

async function run({ runs, quick, say }: BenchOptions): Promise<BenchResult> {
  const folder = await mkdtemp(join(tmpdir(), "millrace-bench-"));
  try {
    const made: Made[] = [];
    for (const cloud of CLOUDS) for (const handler of HANDLERS) made.push(await make(cloud, handler, folder));
    const nodes = await findNodes();
    const contenders: Record<string, () => Promise<readonly number[]>> = {};
    for (const { cloud, deployed, loading, bare } of made) {
      const node = cloud === "alicloud" ? nodes.alicloud : nodes.others;
      for (const file of [deployed, loading, bare.file]) {
        if (file !== undefined) contenders[`${file} on ${node}`] = () => importTimes(node, file, quick);
      }
    }
    const samples = await alternate(contenders, runs, (name, round, times) =>
      say(`${round} ${name.slice(folder.length + 1)} ${median(times).toFixed(1)} ms`),
    );
    const figures = made.flatMap((one) => {
      const node = one.cloud === "alicloud" ? nodes.alicloud : nodes.others;
      return figuresOf(one, (file) => median(samples[`${file} on ${node}`]!.flat()));
    });
    return { figures, notes: nodes.notes, samples };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function make(cloud: CloudKind, handler: HandlerName, folder: string): Promise<Made> {
  const args = functionOn(cloud, handler, folder);
  const { bytes, unzipped } = await deployable(args);
  const clients = clientsOf(cloud, handler);
  return {
    name: `${cloud}, ${handler}`,
    cloud,
    zipped: bytes,
    unzipped,
    deployed: (await bundle(args)).file,
    ...(args.ports && { loading: (await bundle({ ...args, entry: LOADING, exports: "loaded" })).file }),
    bare: {
      name: clients.join(" + ") || "empty module",
      file: clients.length > 0 ? await bareBundle(clients, args.target, folder) : await emptyModule(folder),
    },
  };
}

async function emptyModule(folder: string): Promise<string> {
  const file = join(folder, "empty.mjs");
  await writeFile(file, "export {};\n");
  return file;
}

function figuresOf(made: Made, millisecondsOf: (file: string) => number): readonly Figure[] {
  const { name, zipped, unzipped, deployed, loading, bare } = made;
  const peer = { name: bare.name, value: millisecondsOf(bare.file) };
  // Beside nothing, nothing is as quick.
  const goal = bare.name === "empty module" ? {} : { goal: { atMost: 1 } };
  return [
    {
      what: `${name}: KB zipped`,
      ours: zipped / 1000,
      peer: { name: "a megabyte", value: MEGABYTE },
      goal: { atMost: 1 },
    },
    { what: `${name}: KB unzipped, map included`, ours: unzipped / 1000 },
    { what: `${name}: import, ms`, ours: millisecondsOf(deployed), peer, ...goal },
    ...(loading === undefined
      ? []
      : [{ what: `${name}: import and ports, ms`, ours: millisecondsOf(loading), peer, ...goal }]),
  ];
}

async function importTimes(node: string, file: string, quick: boolean): Promise<readonly number[]> {
  const times: number[] = [];
  for (let count = 0; count < (quick ? 1 : IMPORTS); count += 1) times.push(await importTime(node, file));
  return times;
}

/** What every deployed function finds in its environment; nobody answers at these places. */
const ENVIRONMENT = writeEnvironment({
  place: { region: "eu-central-1", account: "1", prefix: "bench", nats: "nats://127.0.0.1:9" },
  logLevel: "error",
  tools: {},
  sources: {},
  links: {},
});

/** The entry of the local cloud wants a channel to its host, and answers over it that it is ready. */
async function importTime(node: string, file: string): Promise<number> {
  const child = fork(join(PROJECT, "bench", "programs", "import.mjs"), [file], {
    execPath: node,
    execArgv: [],
    env: { PATH: process.env.PATH, ...ENVIRONMENT },
    serialization: "advanced",
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  let said = "";
  child.stderr!.on("data", (text) => {
    said += text;
  });
  const exit = once(child, "exit");
  const milliseconds = await new Promise<number>((resolve, reject) => {
    child.on("message", (message) => {
      if (typeof message === "number") resolve(message);
    });
    void exit.then(([code]) => reject(new Error(`${file} on ${node} ended with ${code}: ${said}`)));
  });
  child.kill("SIGKILL");
  await exit;
  return milliseconds;
}

/** Programs of Node. */
interface Nodes {
  readonly alicloud: string;
  readonly others: string;
  readonly notes: readonly string[];
}

export async function findNodes(): Promise<Nodes> {
  const paths = (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, "node"));
  for (const path of [process.env.MILLRACE_NODE20 ?? "", ...paths]) {
    const version = path && (await versionOf(path));
    if (version?.startsWith("v20.")) {
      return { alicloud: path, others: process.execPath, notes: [`alicloud on Node ${version}`] };
    }
  }
  const notes = ["no Node 20 was found: name one by MILLRACE_NODE20; alicloud's figures are those of another Node"];
  return { alicloud: process.execPath, others: process.execPath, notes };
}

const versionOf = (path: string): Promise<string | undefined> =>
  promisify(execFile)(path, ["--version"]).then(
    ({ stdout }) => stdout.trim(),
    () => undefined,
  );
