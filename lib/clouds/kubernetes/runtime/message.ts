import { createHash, randomUUID } from "node:crypto";
import type { StoredMsg } from "@nats-io/jetstream";
import type { Msg, MsgHdrs, NatsConnection } from "@nats-io/transport-node";
import type { Message, SendOptions } from "../../../runtime/ports.ts";
import type { PeekedMessage } from "../../../runtime/system.ts";
import { parse } from "./events.ts";
import { type Publication, publish, toMillraceError } from "./nats.ts";
import { type Delivery, deliveryOf } from "./pull.ts";
import { laterSubject } from "./setup.ts";

/** The message's own id: its number in the stream is another one once it has waited, or was moved. */
const ID = "Millrace-Id";
/** All attributes as JSON of ASCII: a header of its own would restrict their names and values. */
const ATTRIBUTES = "Millrace-Attributes";
/** Headers of the server's or ours; those of anybody else are attributes. */
const RESERVED = /^(Nats-|Millrace-)/i;

/** A message on its way into a queue: with a delay it waits on a subject of its own until the server moves it. */
export function publication(
  subject: string,
  body: string,
  { attributes = {}, delay = 0, deduplication }: SendOptions,
  now: number,
): Publication & { readonly id: string } {
  const id =
    deduplication === undefined ? randomUUID() : createHash("sha256").update(deduplication).digest("hex").slice(0, 32);
  const headers = { [ID]: id, ...(Object.keys(attributes).length > 0 && { [ATTRIBUTES]: asciiJson(attributes) }) };
  if (delay <= 0) return { subject, body, headers, id };
  const schedule = { specification: new Date(now + delay * 1000), target: subject };
  return { subject: `${laterSubject(subject)}.${id}`, body, headers, id, schedule };
}

/** A message as it was delivered. @param receipt for whoever receives it through a port. @default its reply subject */
export function toMessage(message: Msg, receipt = message.reply ?? ""): Message {
  const delivery = deliveryOf(message.reply ?? "");
  return {
    id: idOf(message.headers, delivery),
    body: message.string(),
    attributes: attributesIn(message.headers),
    receives: delivery.deliveries,
    time: new Date(delivery.time).toISOString(),
    receipt,
  };
}

/** A message as it lies in its stream; how often it was received is not kept there. */
export const storedMessage = (stream: string, message: StoredMsg): PeekedMessage => ({
  id: message.header.get(ID) || `${stream}-${message.seq}`,
  body: message.string(),
  attributes: attributesIn(message.header),
  receives: 0,
  time: message.time.toISOString(),
});

const idOf = (headers: MsgHdrs | undefined, { stream, sequence }: Delivery): string =>
  headers?.get(ID) || `${stream}-${sequence}`;

function attributesIn(headers: MsgHdrs | undefined): Readonly<Record<string, string>> {
  const all = [...(headers ?? [])];
  const foreign = all.filter(([name]) => !RESERVED.test(name)).map(([name, values]) => [name, values.join(", ")]);
  return { ...Object.fromEntries(foreign), ...ownAttributes(headers?.get(ATTRIBUTES) || "{}") };
}

/** None in what we have not written: a message that cannot be read would come again for ever. */
function ownAttributes(text: string): Readonly<Record<string, string>> {
  const value = parse(text);
  if (typeof value !== "object" || value === null || Array.isArray(value)) return {};
  return Object.fromEntries(Object.entries(value).filter(([, one]) => typeof one === "string"));
}

/**
 * Moves a message to the dead letters. It is there before it is gone from here; a second one that a kill between the
 * two leads to has the same id, and is not stored while the server remembers that.
 */
export async function bury(nats: NatsConnection, message: Msg, deadLetters: string): Promise<void> {
  const delivery = deliveryOf(message.reply ?? "");
  const kept = [...(message.headers ?? [])].filter(([name]) => !/^Nats-/i.test(name));
  const headers = {
    ...Object.fromEntries(kept.map(([name, [value = ""]]) => [name, value])),
    [ID]: idOf(message.headers, delivery),
  };
  const id = `${delivery.stream}-${delivery.sequence}`;
  await publish(nats, `move to ${deadLetters}`, { subject: deadLetters, body: message.data, headers, id });
  await settle(nats, message.reply ?? "", "+TERM");
}

/** Says what becomes of a delivery, and answers once the server knows. */
export async function settle(
  nats: NatsConnection,
  reply: string,
  word: "+ACK" | "+TERM" | "+WPI" | `-NAK${string}`,
): Promise<void> {
  try {
    await nats.request(reply, word, { timeout: SETTLE_TIMEOUT });
  } catch (error) {
    throw toMillraceError("settle a message", error);
  }
}

const SETTLE_TIMEOUT = 5000;

/** Gives a message back, to be delivered again after so many seconds. */
export const nak = (seconds: number): `-NAK${string}` =>
  seconds <= 0 ? "-NAK" : `-NAK ${JSON.stringify({ delay: Math.round(seconds * 1e9) })}`;

const asciiJson = (value: unknown): string =>
  JSON.stringify(value).replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
