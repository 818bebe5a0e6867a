import { jetstreamManager } from "@nats-io/jetstream";
import { type Msg, millis } from "@nats-io/transport-node";
import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import { MillraceError } from "../../../runtime/errors.ts";
import type { Message, QueueReceiver, QueueSender, SendOptions } from "../../../runtime/ports.ts";
import type { KubernetesWorld } from "./account.ts";
import { bury, nak, publication, settle, toMessage } from "./message.ts";
import { publish, toMillraceError } from "./nats.ts";
import { deliveryOf, pull } from "./pull.ts";

/** Messages in one answer, where nothing is said. */
const MOST_MESSAGES = 10;
/** A receive waits that many milliseconds for a message. */
const WAIT = 500;

/** A queue in a stream of NATS. */
export const port = (address: LinkAddress, world: KubernetesWorld): QueueSender & QueueReceiver =>
  new NatsQueue(address, world);

class NatsQueue implements QueueSender, QueueReceiver {
  readonly queue: string;
  readonly #address: LinkAddress;
  readonly #world: KubernetesWorld;
  /** Milliseconds that a received message is hidden; asked for once. */
  #visibility: Promise<number> | undefined;
  /** Until when messages are hidden that were extended, by receipt. */
  readonly #extended = new Map<string, number>();

  constructor(address: LinkAddress, world: KubernetesWorld) {
    this.queue = address.part;
    this.#address = address;
    this.#world = world;
  }

  async send(body: string, options: SendOptions = {}): Promise<string> {
    this.#world.signal.throwIfAborted();
    const delay = options.delay ?? Number(this.#address.delay ?? 0);
    const message = publication(field(this.#address, "subject"), body, { ...options, delay }, this.#world.clock.now());
    await publish(await this.#world.nats(), `send to queue ${this.queue}`, message);
    return message.id;
  }

  /** What was received too often goes to the dead letters instead. */
  async receive({ limit = MOST_MESSAGES }: { readonly limit?: number } = {}): Promise<readonly Message[]> {
    this.#world.signal.throwIfAborted();
    const nats = await this.#world.nats();
    const [stream, consumer] = [field(this.#address, "stream"), field(this.#address, "consumer")];
    const messages = await pull(nats, { stream, consumer }, { batch: limit, wait: WAIT, signal: this.#world.signal });
    const now = this.#world.clock.now();
    const { attempts, deadLetters } = this.#address;
    const isDead = ({ reply = "" }: Msg) => attempts !== undefined && deliveryOf(reply).deliveries > Number(attempts);
    if (deadLetters !== undefined) {
      for (const message of messages.filter(isDead)) await bury(nats, message, deadLetters);
    }
    const alive = deadLetters === undefined ? messages : messages.filter((message) => !isDead(message));
    return alive.map((message) => toMessage(message, `${message.reply} ${now}`));
  }

  async acknowledge(receipt: string): Promise<void> {
    const reply = await this.#hidden(receipt);
    await settle(await this.#world.nats(), reply, "+ACK");
    this.#extended.delete(receipt);
  }

  /** The server has one wait for all messages; to come again after another time is what giving back with a delay means. */
  async extend(receipt: string, seconds: number): Promise<void> {
    const reply = await this.#hidden(receipt);
    await settle(await this.#world.nats(), reply, nak(seconds));
    this.#extended.set(receipt, this.#world.clock.now() + seconds * 1000);
  }

  /**
   * The reply subject of a delivery that is still hidden from others: the server itself would take an answer to an
   * earlier delivery for one to the latest.
   */
  async #hidden(receipt: string): Promise<string> {
    const [reply = "", received] = receipt.split(" ");
    const until = this.#extended.get(receipt) ?? Number(received) + (await this.#hides());
    if (reply !== "" && this.#world.clock.now() < until) return reply;
    throw new MillraceError(
      "conflict",
      `queue ${this.queue}: the message is not hidden any more, another receive may have it`,
    );
  }

  async #hides(): Promise<number> {
    this.#visibility ??= this.#look().catch((error: unknown) => {
      this.#visibility = undefined;
      throw toMillraceError(`look at queue ${this.queue}`, error);
    });
    return this.#visibility;
  }

  async #look(): Promise<number> {
    const manager = await jetstreamManager(await this.#world.nats(), { checkAPI: false });
    const { config } = await manager.consumers.info(field(this.#address, "stream"), field(this.#address, "consumer"));
    return millis(config.ack_wait ?? 0);
  }
}
