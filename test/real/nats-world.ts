import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { NatsConnection } from "@nats-io/transport-node";
import { type KubernetesWorld, type SharedNats, sharedNats } from "../../lib/clouds/kubernetes/runtime/account.ts";
import { port as queuePort } from "../../lib/clouds/kubernetes/runtime/queue.ts";
import { setUp } from "../../lib/clouds/kubernetes/runtime/setup.ts";
import { port as tablePort } from "../../lib/clouds/kubernetes/runtime/table.ts";
import { systemClock } from "../../lib/runtime/clock.ts";
import type { Log } from "../../lib/runtime/handler.ts";
import { type NatsServer, startNats } from "./servers/nats.ts";

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** A real NATS server and what is made on it, each part with a name of its own. */
export class NatsWorld {
  readonly server: NatsServer;
  readonly world: KubernetesWorld;
  readonly #shared: SharedNats;
  #count = 0;

  private constructor(server: NatsServer, shared: SharedNats, files: string) {
    this.server = server;
    this.#shared = shared;
    const { signal } = new AbortController();
    this.world = { signal, clock: systemClock, log: silent, files, prefix: "ports", nats: () => shared.nats() };
  }

  static async start(): Promise<NatsWorld> {
    const server = await startNats();
    const files = await mkdtemp(join(tmpdir(), "millrace-kubernetes-"));
    return new NatsWorld(server, sharedNats({ url: server.url, name: "ports" }), files);
  }

  async stop(): Promise<void> {
    await this.#shared.close();
    await this.server.stop();
    await rm(this.world.files, { recursive: true, force: true });
  }

  nats(): Promise<NatsConnection> {
    return this.#shared.nats();
  }

  fresh(stem: string): string {
    this.#count += 1;
    return `${stem}-${this.#count}`;
  }

  /** The server's clock cannot be moved. */
  advance = (seconds: number): Promise<void> => sleep(seconds * 1000);

  async table(around: Partial<KubernetesWorld> = {}) {
    const table = this.fresh("table");
    await setUp(await this.nats(), { streams: [], consumers: [], tables: [table] });
    return tablePort({ kind: "table", part: "state", table }, { ...this.world, ...around });
  }

  /** @param visibility seconds */
  async queue({ visibility = 2, attempts, deadLetters }: QueueOptions = {}) {
    const name = this.fresh("queue");
    const [stream, subject] = [`ports-${name}`, `ports.queue.${name}`];
    await setUp(await this.nats(), {
      streams: [{ name: stream, subjects: [subject], maxAge: 3600 }],
      consumers: [{ stream, name: "receivers", subject, visibility }],
      tables: [],
    });
    const address = {
      kind: "queue",
      part: "work",
      stream,
      subject,
      consumer: "receivers",
      ...(attempts !== undefined && { attempts: String(attempts) }),
      ...(deadLetters !== undefined && { deadLetters }),
    } as const;
    return { queue: queuePort(address, this.world), address };
  }
}

interface QueueOptions {
  readonly visibility?: number;
  readonly attempts?: number;
  readonly deadLetters?: string;
}
