import { createInbox, type Msg, type NatsConnection } from "@nats-io/transport-node";
import { MillraceError } from "../../../runtime/errors.ts";
import { NOBODY } from "./nats.ts";

/** A consumer of a stream. */
export interface ConsumerAddress {
  readonly stream: string;
  readonly consumer: string;
}

export interface PullOptions {
  readonly batch: number;
  /** Milliseconds to wait for messages. */
  readonly wait: number;
  /** Whether to wait for all of the batch; else whatever is there is answered as soon as something is. @default false */
  readonly whole?: boolean;
  /** Ends the wait; what came until then is answered. @default nobody does */
  readonly signal?: AbortSignal;
}

/** What a delivery's reply subject tells of it. https://docs.nats.io/reference/reference-protocols/nats_api_reference */
export interface Delivery {
  readonly stream: string;
  /** The message's number in its stream: the same at every delivery. */
  readonly sequence: number;
  /** This one included. */
  readonly deliveries: number;
  /** When the message was stored, milliseconds since 1970. */
  readonly time: number;
}

/** Milliseconds that the server's word of the end may be late before it is taken for lost. */
const LATE = 5000;

/**
 * Asks a consumer for messages, which stay hidden from others until they are acknowledged or its wait is over.
 *
 * @throws `unavailable` if the server does not answer, or knows no such consumer.
 */
export function pull(nats: NatsConnection, from: ConsumerAddress, options: PullOptions): Promise<readonly Msg[]> {
  const { batch, wait, whole = false, signal } = options;
  if (signal?.aborted) return Promise.resolve([]);
  return new Promise((resolve, reject) => {
    const messages: Msg[] = [];
    const end = (error?: Error) => {
      clearTimeout(late);
      signal?.removeEventListener("abort", abort);
      subscription.unsubscribe();
      // What has come is ours, whatever became of the rest.
      if (error && messages.length === 0) reject(error);
      else resolve(messages);
    };
    // What is under way to us would be nobody's until its wait is over.
    const abort = () => void subscription.drain().then(() => end(), end);
    const late = setTimeout(() => end(unavailable(from, "nothing")), wait + LATE);
    signal?.addEventListener("abort", abort);
    const subscription = nats.subscribe(createInbox(), {
      callback(error, message) {
        if (error) return end(error);
        const { code, description } = message.headers ?? {};
        if (code) return end(errorIn(code, description ?? "", from));
        messages.push(message);
        if (messages.length === batch) end();
      },
    });
    const request = { batch, expires: wait * 1_000_000, ...(!whole && { no_wait: true }) };
    const subject = `$JS.API.CONSUMER.MSG.NEXT.${from.stream}.${from.consumer}`;
    nats.publish(subject, JSON.stringify(request), { reply: subscription.getSubject() });
  });
}

/** Nothing more comes: the time is over, or something is wrong. https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-13.md */
function errorIn(code: number, description: string, from: ConsumerAddress): MillraceError | undefined {
  if (code === 404 || code === 408 || /leadership change/i.test(description)) return undefined;
  return unavailable(from, code === 503 || /consumer deleted/i.test(description) ? NOBODY : `${code} ${description}`);
}

const unavailable = ({ stream, consumer }: ConsumerAddress, answer: string) =>
  new MillraceError("unavailable", `receive from stream ${stream} as ${consumer}: NATS answers ${answer}`);

/** @throws if it is no delivery of a consumer. */
export function deliveryOf(reply: string): Delivery {
  const tokens = reply.split(".");
  // Servers of a domain say which, and whose account it is.
  const [stream, , deliveries, sequence, , time] = tokens.length > 9 ? tokens.slice(4) : tokens.slice(2);
  if (tokens[0] !== "$JS" || stream === undefined || time === undefined)
    throw new Error(`no delivery of NATS: ${reply}`);
  return { stream, sequence: Number(sequence), deliveries: Number(deliveries), time: Math.floor(Number(time) / 1e6) };
}
