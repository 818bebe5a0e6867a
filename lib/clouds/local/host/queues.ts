import type { QueuePlan } from "../../../parts/plan.ts";
import type { Clock } from "../../../runtime/clock.ts";
import { MillraceError } from "../../../runtime/errors.ts";
import type { Message, QueueReceiver, QueueSender, SendOptions } from "../../../runtime/ports.ts";
import type { PeekedMessage, QueueStats } from "../../../runtime/system.ts";
import { formatBytes } from "../../../shared/size.ts";
import type { LocalQueues, RedriveOptions } from "./inspect.ts";
import type { Journal } from "./journal.ts";

/** How long a deduplication key is remembered, in milliseconds: longer than any cloud does. */
const DEDUPLICATION = 600_000;
/** How many messages one may overtake: the order is random, and yet nobody waits for ever. */
const SPREAD = 100;

/** `ready` says that a message can be received now; the others wait for their time in `visible`. */
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS messages (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    queue TEXT NOT NULL,
    body TEXT NOT NULL,
    attributes TEXT NOT NULL,
    sent INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    visible INTEGER NOT NULL,
    ready INTEGER NOT NULL,
    rank REAL NOT NULL,
    receives INTEGER NOT NULL DEFAULT 0,
    deliveries INTEGER NOT NULL DEFAULT 0,
    source TEXT,
    source_receives INTEGER
  ) STRICT;
  CREATE INDEX IF NOT EXISTS messages_ready ON messages (queue, rank) WHERE ready = 1;
  CREATE INDEX IF NOT EXISTS messages_waiting ON messages (queue, visible, receives) WHERE ready = 0;
  CREATE INDEX IF NOT EXISTS messages_by_queue ON messages (queue);
  CREATE INDEX IF NOT EXISTS messages_by_expiry ON messages (expires);
  CREATE TABLE IF NOT EXISTS deduplications (
    queue TEXT NOT NULL,
    key TEXT NOT NULL,
    message TEXT NOT NULL,
    expires INTEGER NOT NULL,
    PRIMARY KEY (queue, key)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS deduplications_by_expiry ON deduplications (expires);
`;

interface MessageRow {
  readonly sequence: number;
  readonly body: string;
  readonly attributes: string;
  readonly sent: number;
  readonly receives: number;
  readonly deliveries: number;
  readonly source: string | null;
  readonly source_receives: number | null;
}

export interface QueuesOptions {
  readonly journal: Journal;
  readonly clock: Clock;
  /** From 0 to below 1: the order of delivery. */
  readonly random: () => number;
  /** Called inside the transaction that puts a message into the queue: a new one, a dead one, one given or sent back. */
  readonly onSent: (queue: string) => void;
  /** The longest body in bytes of UTF-8, and the longest delay of one message in seconds. @default no bounds */
  readonly limits?: { readonly messageBytes?: number; readonly delaySeconds?: number };
}

/**
 * The local cloud's queues: at least once, in random order. A message is hidden from others while somebody has it,
 * comes back when its visibility ends, and goes to the dead letters when it was received too often; it says then in
 * its attributes `deadLetterSource` and `deadLetterReceives` where it came from and how often it was received.
 */
export class Queues implements LocalQueues {
  readonly #journal: Journal;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #onSent: (queue: string) => void;
  readonly #limits: { readonly messageBytes: number; readonly delaySeconds: number };
  readonly #plans = new Map<string, QueuePlan>();

  constructor({ journal, clock, random, onSent, limits = {} }: QueuesOptions) {
    this.#journal = journal;
    this.#clock = clock;
    this.#random = random;
    this.#onSent = onSent;
    this.#limits = { messageBytes: Infinity, delaySeconds: Infinity, ...limits };
    journal.define(SCHEMA);
  }

  /** Makes a queue, or changes its plan; its messages stay. */
  define(plan: QueuePlan): void {
    this.#plans.set(plan.name, plan);
  }

  /** In the order they were defined. */
  names(): readonly string[] {
    return [...this.#plans.keys()];
  }

  /** @throws `not-found` if there is no such queue. */
  sender(queue: string): QueueSender {
    this.#plan(queue);
    return { queue, send: async (body, options) => this.sendNow(queue, body, options) };
  }

  /** @throws `not-found` if there is no such queue. */
  receiver(queue: string): QueueReceiver {
    this.#plan(queue);
    return {
      queue,
      receive: async ({ limit = 1 } = {}) => this.receiveNow(queue, limit),
      acknowledge: async (receipt) => this.acknowledgeNow(queue, receipt),
      extend: async (receipt, seconds) => this.extendNow(queue, receipt, seconds),
    };
  }

  /**
   * Sends, as a part of the transaction it is called in; the message's id.
   *
   * @throws `refused` if the body or the delay is too long.
   */
  sendNow(queue: string, body: string, { attributes = {}, delay, deduplication }: SendOptions = {}): string {
    const plan = this.#plan(queue);
    this.#checkBody(queue, body);
    if (delay !== undefined) this.#checkDelay(queue, delay);
    const now = this.#clock.now();
    const visible = timeAfter(now, "delay", delay ?? plan.delay);
    return this.#journal.transaction(() => {
      const known = deduplication === undefined ? undefined : this.#sentBefore(queue, deduplication, now);
      if (known !== undefined) return known;
      const { lastInsertRowid } = this.#journal
        .sql(
          `INSERT INTO messages (queue, body, attributes, sent, expires, visible, ready, rank)
           VALUES (?, ?, ?, ?, ?, ?, ?, ${LAST_SEQUENCE} + ?)`,
        )
        .run(
          queue,
          body,
          JSON.stringify(attributes),
          now,
          timeAfter(now, "retention", plan.retention),
          visible,
          visible <= now ? 1 : 0,
          this.#random() * SPREAD,
        );
      const id = toId(Number(lastInsertRowid));
      if (deduplication !== undefined) this.#remember(queue, deduplication, id, now);
      this.#onSent(queue);
      return id;
    });
  }

  /** Receives up to `limit` messages, as a part of the transaction it is called in. */
  receiveNow(queue: string, limit: number): Message[] {
    const plan = this.#plan(queue);
    checkLimit(limit);
    return this.#journal.transaction(() => {
      const now = this.#clock.now();
      this.#refresh(queue, now);
      const messages: Message[] = [];
      while (messages.length < limit) {
        const row = this.#journal
          .sql(`SELECT ${COLUMNS} FROM messages WHERE queue = ? AND ready = 1 ORDER BY rank LIMIT 1`)
          .get(queue) as unknown as MessageRow | undefined;
        if (!row) break;
        if (isDead(plan, row)) this.#bury(plan, row, now);
        else messages.push(this.#deliver(plan, row, now));
      }
      return messages;
    });
  }

  /** @throws `conflict` if the message was delivered again since, or is gone. */
  acknowledgeNow(queue: string, receipt: string): void {
    const { changes } = this.#journal
      .sql("DELETE FROM messages WHERE sequence = ? AND deliveries = ? AND queue = ?")
      .run(...parseReceipt(receipt), this.#plan(queue).name);
    if (changes === 0) throw staleReceipt(queue, receipt);
  }

  /** @throws `conflict` if the message was delivered again since, or is gone. */
  extendNow(queue: string, receipt: string, seconds: number): void {
    const now = this.#clock.now();
    const visible = timeAfter(now, "seconds", seconds);
    this.#journal.transaction(() => {
      const { changes } = this.#journal
        .sql("UPDATE messages SET visible = ?, ready = ? WHERE sequence = ? AND deliveries = ? AND queue = ?")
        .run(visible, visible <= now ? 1 : 0, ...parseReceipt(receipt), this.#plan(queue).name);
      if (changes === 0) throw staleReceipt(queue, receipt);
      if (visible <= now) this.#onSent(queue);
    });
  }

  stats(queue: string): QueueStats {
    this.#plan(queue);
    return this.#journal.transaction(() => {
      this.#refresh(queue, this.#clock.now());
      const count = (condition: string) =>
        this.#journal.sql(`SELECT count(*) AS count FROM messages WHERE queue = ? AND ${condition}`).get(queue)!
          .count as number;
      const first = this.#journal
        .sql("SELECT sent FROM messages WHERE queue = ? ORDER BY sequence LIMIT 1")
        .get(queue) as { sent: number } | undefined;
      return {
        ready: count("ready = 1"),
        inFlight: count("ready = 0 AND receives > 0"),
        delayed: count("ready = 0 AND receives = 0"),
        ...(first && { oldest: new Date(first.sent).toISOString() }),
      };
    });
  }

  peek(queue: string, limit: number): readonly PeekedMessage[] {
    this.#plan(queue);
    checkLimit(limit);
    const rows = this.#journal
      .sql(`SELECT ${COLUMNS} FROM messages WHERE queue = ? AND expires > ? ORDER BY sequence LIMIT ?`)
      .all(queue, this.#clock.now(), limit) as unknown as MessageRow[];
    return rows.map(toPeeked);
  }

  /**
   * Moves messages that nobody is working on, oldest first and all of them or none: to the queue they failed in, or
   * to `to`. A message that came here in another way stays unless there is a `to`.
   *
   * @throws `not-found` if one of the queues is gone.
   */
  redrive(
    from: string,
    {
      to,
      limit = Infinity,
      filter = () => true,
    }: RedriveOptions & { readonly filter?: (message: PeekedMessage) => boolean } = {},
  ): number {
    this.#plan(from);
    return this.#journal.transaction(() => {
      const now = this.#clock.now();
      this.#refresh(from, now);
      const rows = this.#journal
        .sql(`SELECT ${COLUMNS} FROM messages WHERE queue = ? AND (ready = 1 OR receives = 0) ORDER BY sequence`)
        .iterate(from) as unknown as Iterable<MessageRow>;
      const moves: { sequence: number; receives: number; target: string }[] = [];
      for (const row of rows) {
        if (moves.length >= limit) break;
        const target = to ?? row.source;
        if (target === null || !filter(toPeeked(row))) continue;
        moves.push({ sequence: row.sequence, receives: row.receives, target });
      }
      for (const { target, ...row } of moves) this.#move(row, this.#plan(target), now, null);
      return moves.length;
    });
  }

  /** When the queue has something to receive: now or earlier, later, or not until something is sent. */
  nextVisible(queue: string): number | undefined {
    const ready = this.#journal.sql("SELECT 1 FROM messages WHERE queue = ? AND ready = 1 LIMIT 1").get(queue);
    if (ready) return this.#clock.now();
    const waiting = this.#journal
      .sql("SELECT min(visible) AS time FROM messages WHERE queue = ? AND ready = 0")
      .get(queue) as { time: number | null };
    return waiting.time ?? undefined;
  }

  /** When any of the queues has something to receive. */
  next(): number | undefined {
    const next = Math.min(...this.names().map((queue) => this.nextVisible(queue) ?? Infinity));
    return next === Infinity ? undefined : next;
  }

  #plan(queue: string): QueuePlan {
    const plan = this.#plans.get(queue);
    if (plan) return plan;
    throw new MillraceError("not-found", `no queue ${queue}; there are: ${this.names().join(", ") || "none"}`);
  }

  #checkBody(queue: string, body: string): void {
    const bytes = Buffer.byteLength(body);
    const { messageBytes } = this.#limits;
    if (bytes <= messageBytes) return;
    throw new MillraceError(
      "refused",
      `a message to queue ${queue} has ${formatBytes(bytes)}; allowed: up to ${formatBytes(messageBytes)}`,
    );
  }

  #checkDelay(queue: string, delay: number): void {
    const { delaySeconds } = this.#limits;
    if (!(delay > delaySeconds)) return;
    throw new MillraceError(
      "refused",
      `a message to queue ${queue} is delayed by ${delay} seconds; allowed: up to ${delaySeconds} seconds`,
    );
  }

  /** Forgets what has expired, and makes ready what has waited long enough. */
  #refresh(queue: string, now: number): void {
    this.#journal.sql("DELETE FROM messages WHERE expires <= ?").run(now);
    this.#journal.sql("UPDATE messages SET ready = 1 WHERE queue = ? AND ready = 0 AND visible <= ?").run(queue, now);
  }

  #deliver({ visibility }: QueuePlan, row: MessageRow, now: number): Message {
    const { sequence, receives, deliveries } = row;
    // If it comes back, it queues up behind the others: one that always fails holds up nobody.
    this.#journal
      .sql(
        `UPDATE messages SET receives = receives + 1, deliveries = deliveries + 1, ready = 0, visible = ?,
         rank = ${LAST_SEQUENCE} + ? WHERE sequence = ?`,
      )
      .run(timeAfter(now, "visibility", visibility), this.#random() * SPREAD, sequence);
    return { ...toPeeked(row), receives: receives + 1, receipt: `${sequence}.${deliveries + 1}` };
  }

  #bury({ name, deadLetters }: QueuePlan, row: MessageRow, now: number): void {
    this.#move(row, this.#plan(deadLetters!), now, name);
  }

  /** Into another queue, as if sent there now without delay; `source` is the queue it failed in. */
  #move(
    { sequence, receives }: Pick<MessageRow, "sequence" | "receives">,
    { name, retention }: QueuePlan,
    now: number,
    source: string | null,
  ): void {
    this.#journal
      .sql(
        `UPDATE messages SET queue = ?, ready = 1, visible = ?, expires = ?, receives = 0, source = ?,
         source_receives = ?, rank = ${LAST_SEQUENCE} + ? WHERE sequence = ?`,
      )
      .run(
        name,
        now,
        timeAfter(now, "retention", retention),
        source,
        source === null ? null : receives,
        this.#random() * SPREAD,
        sequence,
      );
    this.#onSent(name);
  }

  #sentBefore(queue: string, key: string, now: number): string | undefined {
    this.#journal.sql("DELETE FROM deduplications WHERE expires <= ?").run(now);
    return this.#journal.sql("SELECT message FROM deduplications WHERE queue = ? AND key = ?").get(queue, key)
      ?.message as string | undefined;
  }

  #remember(queue: string, key: string, id: string, now: number): void {
    this.#journal.sql("INSERT INTO deduplications VALUES (?, ?, ?, ?)").run(queue, key, id, now + DEDUPLICATION);
  }
}

const COLUMNS = "sequence, body, attributes, sent, receives, deliveries, source, source_receives";
/** The last sequence ever given; it never goes back. https://www.sqlite.org/autoinc.html */
const LAST_SEQUENCE = "(SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'messages')";

const isDead = ({ attempts, deadLetters }: QueuePlan, { receives }: MessageRow): boolean =>
  deadLetters !== undefined && attempts !== undefined && receives >= attempts;

const toId = (sequence: number): string => `m${sequence}`;

const toPeeked = ({
  sequence,
  body,
  attributes,
  sent,
  receives,
  source,
  source_receives,
}: MessageRow): PeekedMessage => ({
  id: toId(sequence),
  body,
  attributes: {
    ...JSON.parse(attributes),
    ...(source !== null && { deadLetterSource: source, deadLetterReceives: String(source_receives) }),
  },
  receives,
  time: new Date(sent).toISOString(),
});

const parseReceipt = (receipt: string): [sequence: number, deliveries: number] => {
  const [, sequence, deliveries] = /^(\d{1,15})\.(\d{1,15})$/.exec(receipt) ?? [];
  if (sequence === undefined) throw new MillraceError("bad-input", `no receipt of a message: "${receipt}"`);
  return [Number(sequence), Number(deliveries)];
};

const staleReceipt = (queue: string, receipt: string): MillraceError =>
  new MillraceError(
    "conflict",
    `the message of receipt ${receipt} in queue ${queue} was delivered again since, or is gone`,
  );

/** A time in whole milliseconds. */
function timeAfter(now: number, what: string, seconds: number): number {
  if (Number.isFinite(seconds) && seconds >= 0) return Math.ceil(now + seconds * 1000);
  throw new MillraceError("bad-input", `${what} is a number of seconds, 0 or more, got ${seconds}`);
}

function checkLimit(limit: number): void {
  if (Number.isInteger(limit) && limit >= 1) return;
  throw new MillraceError("bad-input", `limit is a whole number from 1, got ${limit}`);
}
