import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { jetstreamManager } from "@nats-io/jetstream";
import { unzipSync } from "fflate";
import { deployable } from "../../../lib/bundle/deployable.ts";
import { invokeFunction, startFunction } from "../../../lib/clouds/kubernetes/runtime/function.ts";
import type { FunctionJson } from "../../../lib/clouds/kubernetes/runtime/function-json.ts";
import type { Setup } from "../../../lib/clouds/kubernetes/runtime/setup.ts";
import type { FunctionCall } from "../../../lib/runtime/calls.ts";
import type { SourceEvent } from "../../../lib/runtime/events.ts";
import type { Message, QueueReceiver } from "../../../lib/runtime/ports.ts";
import { OWN_STORE, OWN_STREAMS, writeEnvironment } from "../../../lib/shared/environment.ts";
import { NatsWorld } from "../nats-world.ts";
import { type S3Server, startS3 } from "../servers/s3.ts";
import type { Said } from "./probe.ts";

/** Seconds that a message is hidden whose process is gone: short, since a kill is waited for. */
export const VISIBILITY = 2;

/** The events that a function has begun. */
export const begun = (all: readonly Said[]): readonly SourceEvent[] => all.flatMap(({ begun }) => begun ?? []);
/** Those that it has done. */
export const done = (all: readonly Said[]): readonly SourceEvent[] => all.flatMap(({ done }) => done ?? []);

export async function until(isIt: () => Promise<boolean> | boolean): Promise<void> {
  for (const end = Date.now() + 20_000; !(await isIt()); await sleep(50)) {
    if (Date.now() > end) throw new Error("it never came to that");
  }
}

/** The first message of a queue, once there is one. */
export async function firstOf(queue: QueueReceiver): Promise<Message> {
  for (const end = Date.now() + 20_000; Date.now() < end; ) {
    const [message] = await queue.receive({ limit: 1 });
    if (message) return message;
  }
  throw new Error(`nothing came into queue ${queue.queue}`);
}

/** A process and what it has printed so far. */
export type Running = ChildProcess & { log: string };

type Variables = Readonly<Record<string, string>>;

/** Functions as real processes of real bundles, on real servers: what a cluster runs, without the cluster. */
export class FunctionsWorld {
  readonly around: NatsWorld;
  readonly s3: S3Server;
  readonly #folder: string;
  readonly #bundles = new Map<string, string>();
  readonly #children = new Set<ChildProcess>();
  #calls = 0;

  private constructor(around: NatsWorld, s3: S3Server, folder: string) {
    this.around = around;
    this.s3 = s3;
    this.#folder = folder;
  }

  /** @param subject where the store tells of its objects */
  static async start(subject = "store.events"): Promise<FunctionsWorld> {
    const around = await NatsWorld.start();
    const s3 = await startS3({ events: { natsUrl: around.server.url, subject } });
    const world = new FunctionsWorld(around, s3, await mkdtemp(join(tmpdir(), "millrace-functions-")));
    const ports = {
      said: runtimeFile("queue"),
      state: runtimeFile("table"),
      media: runtimeFile("bucket"),
      [OWN_STORE]: runtimeFile("bucket"),
      [OWN_STREAMS]: runtimeFile("stream-consumer"),
    };
    await world.#bundle("entry", "entry", fileURLToPath(new URL("probe.ts", import.meta.url)), ports);
    await world.#bundle("setup", "program", runtimeFile("setup"));
    await world.#bundle("publish", "program", runtimeFile("publish"));
    return world;
  }

  async stop(): Promise<void> {
    await this.killAll();
    await this.s3.stop();
    await this.around.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }

  async killAll(): Promise<void> {
    await Promise.all([...this.#children].map((child) => this.kill(child)));
  }

  async kill(child: ChildProcess): Promise<void> {
    child.kill("SIGKILL");
    await this.ended(child);
  }

  /** The process's exit code; its signal if it had none. */
  async ended(child: ChildProcess): Promise<number | string | null> {
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    this.#children.delete(child);
    return child.exitCode ?? child.signalCode;
  }

  /** One of the small programs, until it has ended well. */
  async program(name: "setup" | "publish", variables: Variables): Promise<void> {
    const child = this.#run(name, { ...this.#environment({}), ...variables });
    const code = await this.ended(child);
    if (code !== 0) throw new Error(`${name} ended with ${code}: ${child.log}`);
  }

  /** A function with all it needs in NATS, made by the program that makes it in a cluster. */
  async function(given: Partial<FunctionJson> = {}, more: Partial<Setup> = {}) {
    const { around } = this;
    const name = around.fresh("function");
    const subject = `ports.call.${name}`;
    const stream = "ports-calls";
    const said = await around.queue({ visibility: 30 });
    const failures = await around.queue();
    const setup: Setup = {
      streams: [{ name: stream, subjects: ["ports.call.>", "ports.keep.>"] }, ...(more.streams ?? [])],
      consumers: [{ stream, name, subject, visibility: VISIBILITY }, ...(more.consumers ?? [])],
      tables: more.tables ?? [],
    };
    await this.program("setup", { MILLRACE_SETUP: JSON.stringify(setup) });
    const spec: FunctionJson = {
      function: name,
      subject,
      stream,
      consumer: name,
      timeout: 5,
      attempts: 2,
      backoff: { first: 0.1, factor: 1, longest: 0.1 },
      failures: failures.address.subject,
      concurrency: 1,
      queues: [],
      buckets: [],
      streams: [],
      ...given,
    };
    const heard: Said[] = [];
    return {
      spec,
      heard,
      failures: failures.queue,
      start: (variables: Variables = {}, nats?: string) =>
        this.#run("entry", {
          ...this.#environment({ said: said.address }, nats),
          MILLRACE_FUNCTION: JSON.stringify(spec),
          ...variables,
        }),
      invoke: (payload: unknown, wait?: number) => invokeFunction(around.world, subject, this.#call(payload), wait),
      call: (payload: unknown) => startFunction(around.world, subject, this.#call(payload)),
      /** Until the function has said so. */
      async hears(isIt: (all: readonly Said[]) => boolean): Promise<readonly Said[]> {
        for (const end = Date.now() + 25_000; !isIt(heard); ) {
          if (Date.now() > end) throw new Error(`it never said so: ${JSON.stringify(heard)}`);
          for (const message of await said.queue.receive()) {
            heard.push(JSON.parse(message.body) as Said);
            await said.queue.acknowledge(message.receipt);
          }
        }
        return heard;
      },
      /** Its messages that are not yet settled. */
      async pending(): Promise<number> {
        const manager = await jetstreamManager(await around.nats());
        const { num_pending, num_ack_pending } = await manager.consumers.info(stream, name);
        return num_pending + num_ack_pending;
      },
    };
  }

  #call(payload: unknown): FunctionCall {
    this.#calls += 1;
    return { millrace: "call", id: `call-${this.#calls}`, payload, time: new Date().toISOString() };
  }

  #environment(links: Readonly<Record<string, Variables>>, nats = this.around.server.url): Variables {
    const place = { namespace: "test", nats, prefix: "ports" };
    return writeEnvironment({ place, logLevel: "debug", tools: {}, sources: {}, links });
  }

  #run(bundle: string, variables: Variables): Running {
    const { accessKeyId, secretAccessKey } = this.s3.credentials;
    const keys = { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey };
    const env = { PATH: process.env.PATH, ...keys, ...variables };
    const child = spawn(process.execPath, [this.#bundles.get(bundle)!], { env, stdio: ["ignore", "pipe", "pipe"] });
    const running = Object.assign(child, { log: "" });
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (bytes: Buffer) => {
        running.log += bytes;
      });
    }
    this.#children.add(child);
    return running;
  }

  /** As a pod has it: unpacked from its zip. */
  async #bundle(name: string, entry: string, handler: string, ports?: Variables): Promise<void> {
    const { file } = await deployable({
      handler: { file: handler },
      code: {},
      settings: {},
      entry: runtimeFile(entry),
      ...(ports && { ports }),
      outdir: join(this.#folder, "bundles"),
      install: [],
      target: "node24",
      machine: { os: "linux", cpu: "x64", libc: "glibc" },
    });
    const into = join(this.#folder, name);
    for (const [path, bytes] of Object.entries(unzipSync(await readFile(file)))) {
      await mkdir(dirname(join(into, path)), { recursive: true });
      await writeFile(join(into, path), bytes);
    }
    this.#bundles.set(name, join(into, "index.mjs"));
  }
}

const runtimeFile = (name: string): string =>
  fileURLToPath(new URL(`../../../lib/clouds/kubernetes/runtime/${name}.ts`, import.meta.url));
