import type { Clock } from "../clock.ts";
import { toErrorRecord } from "../errors.ts";
import type { Log } from "../handler.ts";
import type { Bodies } from "./bodies.ts";
import type { Changes } from "./changes.ts";
import { type Backoff, backoffMilliseconds, type Destination } from "./definition.ts";
import type { Envelope, PayloadReference } from "./envelope.ts";
import { attemptId } from "./ids.ts";
import type { PendingDelivery, TaskRow } from "./row.ts";
import { DELIVERY_RESERVE, type PackedBody, type Step } from "./steps.ts";
import type { BodyName, TaskStore } from "./store.ts";

/**
 * Sends an envelope; resolves once the destination has it. The same key means the same envelope, sent again because
 * nobody knows whether the first one arrived.
 */
export type Deliver = (destination: Destination, envelope: Envelope, deduplicationKey: string) => void | Promise<void>;

/** Payloads longer than this are referred to, in bytes. */
const LONGEST_INLINE = 32 * 1024;

/** The longest envelope: a queue's 64 KB, less room for attributes. https://www.alibabacloud.com/help/en/mns/limits */
const LONGEST_ENVELOPE = 62 * 1024;

/** What is worth moving to the bucket to make an envelope shorter. */
const SHORTEST_REFERRED = 2 * 1024;

const BACKOFF: Backoff = { first: 2, factor: 2, longest: 300 };

/** What an outbox works with. */
interface OutboxWorld {
  readonly store: TaskStore;
  readonly changes: Changes;
  readonly bodies: Bodies;
  readonly deliver: Deliver;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
}

/** Tells destinations how runs ended: again and again until they have it, each once where the destination can tell. */
export class Outbox {
  readonly #world: OutboxWorld;
  /** Keys of sends under way in this process. */
  readonly #sending = new Set<string>();

  constructor(world: OutboxWorld) {
    this.#world = world;
  }

  /** Adds the envelope to a step that made a run final, if anybody is to be told. */
  async enclose(before: TaskRow, step: Step, result?: PackedBody): Promise<Step> {
    const { row } = step;
    if (row.outcomes === before.outcomes || !row.deliveries.some(({ outcome }) => outcome === row.outcomes))
      return step;
    const { envelope, claims } = await this.#envelope(row, result);
    return {
      ...step,
      row: { ...row, claims: [...row.claims, ...claims] },
      bodies: { ...step.bodies, [envelopeName(row.outcomes)]: JSON.stringify(envelope) },
    };
  }

  /** Sends the row's deliveries; `reserved` names those that are this caller's to send. */
  async send(row: TaskRow, reserved: (delivery: PendingDelivery) => boolean): Promise<void> {
    await Promise.all(row.deliveries.filter(reserved).map((delivery) => this.#send(row, delivery)));
  }

  /** Takes over deliveries whose sender has not been heard of, and sends them. */
  async resend(row: TaskRow, isOverdue: (delivery: PendingDelivery) => boolean): Promise<void> {
    const { changes, clock } = this.#world;
    const keys = new Set<string>();
    const taken = await changes.change(row.task, row.id, (current) => {
      const at = clock.now() + DELIVERY_RESERVE;
      keys.clear();
      for (const delivery of current.deliveries.filter(isOverdue)) keys.add(delivery.key);
      if (keys.size === 0) return undefined;
      const deliveries = current.deliveries.map((one) => (keys.has(one.key) ? { ...one, at } : one));
      return { row: { ...current, deliveries } };
    });
    if (taken?.changed) await this.send(taken.row, ({ key }) => keys.has(key));
  }

  async #send({ task, id }: TaskRow, delivery: PendingDelivery): Promise<void> {
    const { store, deliver, log } = this.#world;
    const { key, destination, outcome } = delivery;
    if (this.#sending.has(key)) return;
    this.#sending.add(key);
    try {
      const text = await store.body(task, id, envelopeName(outcome));
      // Another process has confirmed it and with it removed the envelope.
      if (text === undefined) return;
      try {
        await deliver(destination, JSON.parse(text) as Envelope, key);
      } catch (error) {
        const { message } = toErrorRecord(error);
        log.warn(`${task} "${id}": could not tell ${destination.kind} "${destination.name}": ${message}`);
        await this.#settle(task, id, delivery, false);
        return;
      }
      await this.#settle(task, id, delivery, true);
    } finally {
      this.#sending.delete(key);
    }
  }

  /** Notes whether a send arrived: one delivery at a time, whatever else has happened to the run. */
  async #settle(task: string, id: string, { key, outcome }: PendingDelivery, hasArrived: boolean): Promise<void> {
    const { changes, clock, random } = this.#world;
    await changes.change(task, id, (row) => {
      if (!row.deliveries.some((one) => one.key === key)) return undefined;
      const deliveries = row.deliveries.flatMap((one) => {
        if (one.key !== key) return [one];
        const tries = one.tries + 1;
        return hasArrived
          ? []
          : [{ ...one, tries, at: clock.now() + 1000 + backoffMilliseconds(BACKOFF, tries, random) }];
      });
      const isLast = !deliveries.some((one) => one.outcome === outcome);
      return { row: { ...row, deliveries }, ...(isLast && { bodies: { [envelopeName(outcome)]: null } }) };
    });
  }

  async #envelope(row: TaskRow, result: PackedBody | undefined) {
    const { bodies } = this.#world;
    const { error, payload } = row;
    const request = payload.claim === undefined ? await bodies.read(row, "payload", payload) : undefined;
    const response = error
      ? JSON.stringify({ errorType: error.kind, errorMessage: error.message })
      : (result?.text ?? (result ? undefined : ""));
    const texts = [
      { kind: "payload", info: payload, text: request, claim: payload.claim },
      { kind: "result", info: result?.info ?? EMPTY, text: response, claim: result?.info.claim },
    ];
    const claims: string[] = [];
    const refer = async (part: (typeof texts)[number]) => {
      part.claim = await bodies.claim(row, part.kind, part.text!);
      part.text = undefined;
      claims.push(part.claim);
    };
    const build = () =>
      envelopeOf(row, ...(texts.map((part) => part.text ?? bodies.reference(part.info, part.claim!)) as Parts));

    for (const part of texts) if (part.text !== undefined && part.info.size > LONGEST_INLINE) await refer(part);
    // Two of nearly 32 KB, or one full of quotes, still make an envelope no queue takes.
    for (const part of texts.toSorted((a, b) => b.info.size - a.info.size)) {
      const isTooLong = Buffer.byteLength(JSON.stringify(build())) > LONGEST_ENVELOPE;
      if (isTooLong && part.text !== undefined && part.info.size > SHORTEST_REFERRED) await refer(part);
    }
    return { envelope: build(), claims };
  }
}

type Parts = [request: string | PayloadReference, response: string | PayloadReference];

const EMPTY = { size: 0, preview: "" };

function envelopeOf(row: TaskRow, ...[requestPayload, responsePayload]: Parts): Envelope {
  const { task, id, status, tenant, error } = row;
  return {
    timestamp: row.ended ?? row.updated,
    requestContext: {
      requestId: attemptId(row),
      functionArn: task,
      condition: error?.kind ?? "",
      approximateInvokeCount: row.tries,
    },
    requestPayload,
    responseContext: { statusCode: error ? 500 : 200, functionError: error?.kind ?? "" },
    responsePayload,
    task: {
      task,
      id,
      status,
      ...(tenant !== undefined && { tenant }),
      ...(error && { error: { kind: error.kind, message: error.message } }),
    },
  };
}

const envelopeName = (outcome: number): BodyName => `envelope-${outcome}`;
