import { jetstreamManager } from "@nats-io/jetstream";
import { type Msg, millis, type NatsConnection } from "@nats-io/transport-node";
import { type Clock, sleep } from "../../../runtime/clock.ts";
import { toErrorRecord } from "../../../runtime/errors.ts";
import type { Log } from "../../../runtime/handler.ts";
import { settle } from "./message.ts";
import { type ConsumerAddress, pull } from "./pull.ts";

/** One way that messages come in. */
export interface Inlet extends ConsumerAddress {
  /** Messages at once. */
  readonly batch: number;
  /** Seconds that more messages are waited for, once there is one. */
  readonly window: number;
  /** Does what the messages ask for, and settles each of them: one that is not is delivered again. */
  handle(messages: readonly Msg[], nats: NatsConnection): Promise<void>;
}

export interface ReceiverOptions {
  readonly inlets: readonly Inlet[];
  /** How often something is handled at once. */
  readonly concurrency: number;
  readonly nats: () => Promise<NatsConnection>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Messages of an inlet, hidden from others until they are released. */
interface Taken {
  readonly inlet: Inlet;
  readonly messages: readonly Msg[];
  release(): void;
}

/** Milliseconds that a pull waits for a message. */
const WAIT = 30_000;
/** Milliseconds between two tries of what failed for want of NATS. */
const AGAIN = 1000;

/** Takes messages from its inlets, no more than it can handle, and keeps them hidden from others meanwhile. */
export class Receiver {
  readonly #options: ReceiverOptions;
  /** Aborts when it is to take nothing any more. */
  readonly #ending = new AbortController();
  /** Milliseconds that a delivery is ours without a word from us. */
  readonly #hidden = new Map<Inlet, number>();

  constructor(options: ReceiverOptions) {
    this.#options = options;
  }

  /** Whether it has found all its inlets. */
  get isReady(): boolean {
    return this.#hidden.size === this.#options.inlets.length;
  }

  /** Takes nothing any more from here on. */
  end(): void {
    this.#ending.abort();
  }

  /** Until {@link end}, and until what was being handled then is handled. What was only taken is given back. */
  async run(): Promise<void> {
    await this.#untilDone("the consumers cannot be looked up", () => this.#findInlets());
    await Promise.all(Array.from({ length: this.#options.concurrency }, () => this.#work()));
  }

  /** The setup of NATS may be under way, and NATS itself too. */
  async #findInlets(): Promise<void> {
    const manager = await jetstreamManager(await this.#options.nats(), { checkAPI: false });
    for (const inlet of this.#options.inlets) {
      const { config } = await manager.consumers.info(inlet.stream, inlet.consumer);
      this.#hidden.set(inlet, millis(config.ack_wait ?? 0));
    }
  }

  async #work(): Promise<void> {
    const { log } = this.#options;
    while (!this.#ending.signal.aborted) {
      await this.#untilDone("messages cannot be received", async () => {
        const nats = await this.#options.nats();
        for (const taken of await this.#take(nats)) {
          await this.#handle(nats, taken)
            .catch((error: unknown) => log.warn(`messages will come again: ${toErrorRecord(error).message}`))
            .finally(() => taken.release());
        }
      });
    }
  }

  async #untilDone(trouble: string, work: () => Promise<void>): Promise<void> {
    const { clock, log } = this.#options;
    while (!this.#ending.signal.aborted) {
      try {
        return await work();
      } catch (error) {
        log.warn(`${trouble}, trying again: ${toErrorRecord(error).message}`);
        await sleep(clock, AGAIN, this.#ending.signal).catch(() => {});
      }
    }
  }

  /**
   * Waits at all inlets at once, until there is something at one. What comes in at another before that has heard of it
   * is taken too, and kept until it is its turn.
   */
  async #take(nats: NatsConnection): Promise<readonly Taken[]> {
    const enough = new AbortController();
    const stop = () => enough.abort();
    this.#ending.signal.addEventListener("abort", stop, { once: true });
    if (this.#ending.signal.aborted) stop();
    const pulls = this.#options.inlets.map(async (inlet): Promise<Taken> => {
      const messages = await pull(nats, inlet, { batch: inlet.batch, wait: WAIT, signal: enough.signal });
      if (messages.length > 0) stop();
      return { inlet, messages, release: this.#keep(nats, inlet, messages) };
    });
    const results = await Promise.allSettled(pulls);
    this.#ending.signal.removeEventListener("abort", stop);
    const taken = results
      .flatMap((result) => (result.status === "fulfilled" ? [result.value] : []))
      .filter(({ messages }) => messages.length > 0);
    const failed = results.find((result) => result.status === "rejected");
    if (failed && taken.length === 0) throw failed.reason;
    return taken;
  }

  async #handle(nats: NatsConnection, { inlet, messages }: Taken): Promise<void> {
    const missing = inlet.batch - messages.length;
    const isWaiting = inlet.window > 0 && missing > 0 && !this.#ending.signal.aborted;
    const { signal } = this.#ending;
    const rest = isWaiting
      ? await pull(nats, inlet, { batch: missing, wait: inlet.window * 1000, whole: true, signal })
      : [];
    const release = this.#keep(nats, inlet, rest);
    const all = [...messages, ...rest];
    try {
      if (signal.aborted) await Promise.all(all.map(({ reply }) => settle(nats, reply!, "-NAK")));
      else await inlet.handle(all, nats);
    } finally {
      release();
    }
  }

  /** Says again and again that the messages are being worked on. */
  #keep(nats: NatsConnection, inlet: Inlet, messages: readonly Msg[]): () => void {
    if (messages.length === 0) return () => {};
    const { clock } = this.#options;
    let cancel = () => {};
    const again = () => {
      cancel = clock.at(clock.now() + (this.#hidden.get(inlet) ?? 0) / 3, () => {
        if (nats.isClosed()) return;
        for (const { reply } of messages) nats.publish(reply!, "+WPI");
        again();
      });
    };
    again();
    return () => cancel();
  }
}
