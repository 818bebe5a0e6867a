import { handler as consume } from "../../../lib/handlers/etl/consume.ts";
import type { EtlLinks } from "../../../lib/handlers/etl/deliver.ts";
import type { EtlCode } from "../../../lib/handlers/etl/operators.ts";
import type { EtlSettings } from "../../../lib/handlers/etl/settings.ts";
import { systemClock } from "../../../lib/runtime/clock.ts";
import { MillraceError } from "../../../lib/runtime/errors.ts";
import type { StreamConsumed, StreamRecord } from "../../../lib/runtime/events.ts";
import type { Context } from "../../../lib/runtime/handler.ts";
import type {
  BucketReader,
  BucketWriter,
  FunctionInvoker,
  Message,
  NewRecord,
  ObjectInfo,
  QueueReceiver,
  QueueSender,
  StreamClaimer,
  StreamProducer,
  StreamReader,
  StreamSend,
  TableReader,
  TableWriter,
} from "../../../lib/runtime/ports.ts";

/** What a process that is killed throws from everything it does afterwards: nobody can catch that. */
export class Killed extends Error {}

/** Calls of ports, and which one of them fails or kills. */
export class Faults {
  calls = 0;
  /** Dies before (`"before"`) or after that call has had its effect. */
  killAt: readonly [call: number, when: "before" | "after"] | undefined;
  /** Says of a call that the other side does not answer: before or after its effect, or not at all. */
  unavailable: (call: number) => "before" | "after" | undefined = () => undefined;
  isDead = false;

  /** Another process. */
  begin(): void {
    this.calls = 0;
    this.isDead = false;
  }

  async call<Result>(work: () => Result): Promise<Result> {
    await Promise.resolve();
    if (this.isDead) throw new Killed("dead");
    const number = ++this.calls;
    if (this.killAt?.[0] === number && this.killAt[1] === "before") this.#die();
    const outage = this.unavailable(number);
    if (outage === "before") throw new MillraceError("unavailable", `call ${number} was not heard`);
    const result = work();
    if (this.killAt?.[0] === number) this.#die();
    if (outage === "after") throw new MillraceError("unavailable", `the answer of call ${number} got lost`);
    return result;
  }

  #die(): never {
    this.isDead = true;
    throw new Killed("killed");
  }
}

/** A stream in memory, with the ledger of one function. */
export class MemoryStream {
  readonly name: string;
  readonly records: NewRecord[] = [];
  readonly places = new Map<number, { epoch: number; next: number | undefined }>();

  constructor(name: string) {
    this.name = name;
  }
}

export interface Sent {
  readonly body: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly deduplication: string | undefined;
}

/** Everything a pipeline writes to. */
export class Stores {
  readonly source = new MemoryStream("orders");
  readonly out = new MemoryStream("out");
  readonly dead = new MemoryStream("dead");
  readonly queues = { out: [] as Sent[], dead: [] as Sent[] };
  readonly objects = new Map<string, { body: Uint8Array; info: ObjectInfo }>();
  readonly rows = new Map<string, { value: unknown; version: number }>();
  readonly invoked: unknown[] = [];
}

export const producer = (stream: MemoryStream, faults: Faults): StreamProducer => ({
  stream: stream.name,
  send: (records) => faults.call(() => void stream.records.push(...records)),
});

/** What lies in a stream, two records at a time. */
export const reader = (stream: string, records: readonly StreamRecord[]): StreamReader => ({
  ...{ stream, topic: `t-${stream}` },
  async read({ partition, from = 0, limit = 2 }) {
    const all = records.filter((one) => one.partition === partition);
    const page = all.filter(({ offset }) => offset >= from).slice(0, limit);
    return { records: page, next: (page.at(-1) ?? all.at(-1) ?? { offset: -1 }).offset + 1 };
  },
});

export const claimer = (stream: MemoryStream, others: readonly MemoryStream[], faults: Faults): StreamClaimer => ({
  stream: stream.name,
  claim: (partition) =>
    faults.call(() => {
      const place = stream.places.get(partition) ?? { epoch: 0, next: undefined };
      place.epoch += 1;
      stream.places.set(partition, place);
      const { epoch, next } = place;
      const commit = (to: number, sends: readonly StreamSend[] = []) =>
        faults.call(() => {
          if (place.epoch !== epoch) throw new MillraceError("conflict", "claimed by another");
          place.next = to;
          for (const { to: target, records } of sends) {
            others.find(({ name }) => name === target.stream)!.records.push(...records);
          }
        });
      return { partition, next, commit };
    }),
});

export const queue = (name: string, messages: Sent[], faults: Faults): QueueSender => ({
  queue: name,
  send: (body, { attributes = {}, deduplication } = {}) =>
    faults.call(() => {
      // The least of all queues' limits.
      if (Buffer.byteLength(body) > 64 * 1024) throw new MillraceError("refused", "the message is too long");
      messages.push({ body, attributes, deduplication });
      return `message-${messages.length}`;
    }),
});

/** Receives what lies there, in order; what is given back is there again. */
export function receiver(name: string, messages: Sent[]): QueueReceiver {
  const hidden = new Set<number>();
  const gone = new Set<number>();
  return {
    queue: name,
    async receive({ limit = 1 } = {}) {
      const found: Message[] = [];
      for (const [index, { body, attributes }] of messages.entries()) {
        if (hidden.has(index) || gone.has(index) || found.length === limit) continue;
        hidden.add(index);
        found.push({ id: String(index), body, attributes, receives: 1, time: "", receipt: String(index) });
      }
      return found;
    },
    async acknowledge(receipt) {
      gone.add(Number(receipt));
    },
    async extend(receipt, seconds) {
      if (seconds === 0) hidden.delete(Number(receipt));
    },
  };
}

type Bucket = Pick<BucketReader & BucketWriter, "bucket" | "head" | "get" | "put">;

export const bucket = (name: string, objects: Stores["objects"], faults: Faults): BucketReader & BucketWriter => {
  const made: Bucket = {
    bucket: name,
    head: (key) => faults.call(() => objects.get(key)?.info),
    get: (key) => faults.call(() => objects.get(key)!.body),
    put: (key, body, { metadata = {}, ifNoneMatch } = {}) =>
      faults.call(() => {
        if (ifNoneMatch && objects.has(key)) throw new MillraceError("conflict", `there is an object "${key}"`);
        const bytes = Buffer.from(body as Uint8Array);
        const info = { key, size: bytes.byteLength, etag: String(objects.size), modified: "", metadata };
        objects.set(key, { body: bytes, info });
        return info;
      }),
  };
  return made as BucketReader & BucketWriter;
};

export const table = (rows: Stores["rows"], faults: Faults): TableReader & TableWriter => ({
  get: <Value>(partition: string, sort: string) =>
    faults.call(() => {
      const row = rows.get(`${partition}/${sort}`);
      return row && { partition, sort, value: structuredClone(row.value) as Value, version: String(row.version) };
    }),
  query: () => Promise.reject(new Error("nobody asks")),
  put: (partition, sort, value, { ifVersion } = {}) =>
    faults.call(() => {
      const name = `${partition}/${sort}`;
      const found = rows.get(name);
      if (ifVersion !== undefined && ifVersion !== (found ? String(found.version) : "absent")) {
        throw new MillraceError("conflict", `${name} is of version ${found?.version}`);
      }
      const version = (found?.version ?? 0) + 1;
      rows.set(name, { value: structuredClone(value), version });
      return String(version);
    }),
  remove: (partition, sort) => faults.call(() => void rows.delete(`${partition}/${sort}`)),
});

/** A pipeline's settings, with what most tests want. */
export const settingsOf = (given: Partial<EtlSettings> = {}): EtlSettings => ({
  ...{
    operators: [],
    format: "json",
    to: "same-kafka",
    deadLetters: "same-kafka",
    places: "stream",
    tries: 1,
    remembered: 60,
  },
  objects: { prefix: "", gzip: false },
  user: {},
  ...given,
});

/** What a pipeline on these stores is linked to. */
export function linksOf(stores: Stores, { to, deadLetters }: EtlSettings, faults: Faults): EtlLinks {
  const { source, out, dead, queues, objects, rows, invoked } = stores;
  const streams = [out, dead];
  const invoker: FunctionInvoker = {
    invoke: (payload) => faults.call(() => void invoked.push(payload)),
  };
  const targets = {
    "same-kafka": producer(out, faults),
    stream: producer(out, faults),
    queue: queue("out", queues.out, faults),
    bucket: bucket("out", objects, faults),
    function: invoker,
    result: invoker,
  };
  return {
    source: claimer(source, streams, faults),
    to: targets[to],
    deadLetters: deadLetters === "queue" ? queue("dead", queues.dead, faults) : producer(dead, faults),
    sent: table(rows, faults),
    large: bucket("large", objects, faults),
  };
}

export interface Invocation {
  readonly settings: EtlSettings;
  readonly code?: EtlCode;
  readonly links: EtlLinks;
  readonly counted?: (name: string, value: number) => void;
}

export const contextOf = <Links, Settings>(
  links: Links,
  settings: Settings,
  { code = {}, counted = () => {} }: Pick<Invocation, "code" | "counted"> = {},
): Context<Links, Settings, EtlCode> => ({
  ...{ links, settings, code },
  run: { id: "run", attempt: 1, deadline: Number.MAX_SAFE_INTEGER, progress: () => {} },
  signal: new AbortController().signal,
  log: { debug() {}, info() {}, warn() {}, error() {} },
  metrics: { count: (name, value = 1) => counted(name, value), gauge() {} },
  // Pauses take no time.
  clock: { now: systemClock.now, at: (_, callback) => systemClock.at(0, callback) },
  tools: {},
  scratch: "",
});

/** One batch, as it is given to the function. */
export const batch = (records: readonly StreamRecord[]): StreamConsumed => ({
  type: "stream.consumed",
  id: "batch",
  stream: "orders",
  records,
  time: "2026-01-01T00:00:00.000Z",
});

export const invoke = (records: readonly StreamRecord[], { settings, links, ...rest }: Invocation) =>
  consume(batch(records), contextOf(links, settings, rest));

/** A record with a JSON value, or bytes. */
export const record = (
  offset: number,
  value: unknown,
  { partition = 0, key, headers = {} }: { partition?: number; key?: string; headers?: Record<string, string> } = {},
): StreamRecord => ({
  ...{ partition, offset, timestamp: 1000 + offset },
  ...(key !== undefined && { key: Buffer.from(key) }),
  ...(value !== undefined && { value: value instanceof Uint8Array ? value : Buffer.from(JSON.stringify(value)) }),
  headers: Object.fromEntries(Object.entries(headers).map(([name, text]) => [name, Buffer.from(text)])),
});

export const textsOf = (records: readonly NewRecord[]): readonly string[] =>
  records.map(({ value }) => (typeof value === "string" ? value : Buffer.from(value ?? "").toString("utf8")));
