import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { installNats } from "../install/nats.ts";
import { freePorts } from "../servers/server.ts";

/** A NATS server that can be killed and started again, on the same port with the same files. */
export class KillableNats {
  readonly url: string;
  readonly #command: string;
  readonly #port: number;
  readonly #folder = mkdtempSync(join(tmpdir(), "millrace-nats-"));
  #child: ChildProcess | undefined;

  private constructor(command: string, port: number) {
    this.#command = command;
    this.#port = port;
    this.url = `nats://127.0.0.1:${port}`;
  }

  static async start(): Promise<KillableNats> {
    const [command, [port]] = await Promise.all([installNats(), freePorts(1)]);
    const nats = new KillableNats(command, port!);
    await nats.start();
    return nats;
  }

  async start(): Promise<void> {
    const args = ["-a", "127.0.0.1", "-p", `${this.#port}`, "-js", "-sd", this.#folder];
    this.#child = spawn(this.#command, args, { stdio: "ignore" });
    while (!(await answers(this.#port))) await sleep(50);
  }

  async kill(): Promise<void> {
    const exit = new Promise((resolve) => this.#child!.once("exit", resolve));
    this.#child!.kill("SIGKILL");
    await exit;
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = createConnection({ host: "127.0.0.1", port });
    socket.once("error", () => resolve(false));
    socket.once("data", () => {
      socket.destroy();
      resolve(true);
    });
  });
