import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { type ErrorRecord, fromErrorRecord, toErrorRecord } from "../../../lib/runtime/errors.ts";
import type { StreamRecord } from "../../../lib/runtime/events.ts";
import { SETTINGS, type World } from "./world.ts";
import type { FromWriter, ToWriter } from "./writer.ts";

/** A writer that can be killed and stopped as any process. */
export class Writer {
  readonly #world: World;
  readonly #volume: string;
  readonly child: ChildProcess;
  #batches = 0;
  readonly #waiting = new Map<number, { resolve: () => void; reject: (error: unknown) => void }>();

  constructor(world: World, { volume = world.volume, by = [] }: { volume?: string; by?: readonly string[] } = {}) {
    this.#world = world;
    this.#volume = volume;
    const [command, ...args] = [...by, process.execPath];
    this.child = fork(new URL("./writer.ts", import.meta.url), { execPath: command!, execArgv: args });
    this.child.on("message", (message: FromWriter) => void this.#hear(message));
    this.child.on("exit", () => {
      for (const { reject } of this.#waiting.values()) reject(new Error("the writer is gone"));
    });
  }

  /** Resolves when the batch is archived. */
  write(records: readonly StreamRecord[], settings: Partial<typeof SETTINGS> = {}): Promise<void> {
    const batch = ++this.#batches;
    this.#say({
      ...{ batch, volume: this.#volume, settings: { ...SETTINGS, lease: 1000, ...settings } },
      records: records.map(({ partition, offset, timestamp, value }) => ({
        ...{ partition, offset, timestamp },
        value: Buffer.from(value!).toString(),
      })),
    });
    return new Promise((resolve, reject) => this.#waiting.set(batch, { resolve, reject }));
  }

  async end(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = once(this.child, "exit");
    this.child.kill(signal);
    await gone;
  }

  #say(message: ToWriter): void {
    if (this.child.connected) this.child.send(message, () => {});
  }

  async #hear(message: FromWriter): Promise<void> {
    if ("done" in message) {
      const { resolve, reject } = this.#waiting.get(message.done)!;
      this.#waiting.delete(message.done);
      return message.error ? reject(fromErrorRecord(message.error)) : resolve();
    }
    const { ask, method, args } = message;
    const call = this.#world.table[method] as (...args: readonly unknown[]) => Promise<unknown>;
    const answer: { value?: unknown; error?: ErrorRecord } = await call(...args).then(
      (value) => ({ value }),
      (error: unknown) => ({ error: toErrorRecord(error) }),
    );
    this.#say({ answer: ask, ...answer });
  }
}
