import { randomUUID } from "node:crypto";
import { type JetStreamManager, jetstreamManager, type StoredMsg, type StreamInfo } from "@nats-io/jetstream";
import { delay, type NatsConnection } from "@nats-io/transport-node";
import { checkKey, pageLimit } from "../../../runtime/conditions.ts";
import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import { MillraceError } from "../../../runtime/errors.ts";
import type { Row, TableReader, TableWriter } from "../../../runtime/ports.ts";
import type { KubernetesWorld } from "./account.ts";
import { type Publication, publish, TRIES, toMillraceError } from "./nats.ts";
import { tableStream, tableSubject } from "./setup.ts";
import { rowKey, sortOf, tokenOf } from "./table-keys.ts";

/** A table in a key-value bucket of NATS: a row is the last message of a subject made of its partition and sort key. */
export const port = (address: LinkAddress, world: KubernetesWorld): TableReader & TableWriter =>
  new NatsTable(address, world);

/** When the table was set up, in milliseconds since 1970; in whole seconds, which are all that the times of some stores have. */
export async function tableMadeAt(nats: NatsConnection, table: string): Promise<number> {
  try {
    const manager = await jetstreamManager(nats, { checkAPI: false });
    const { created } = await manager.streams.info(tableStream(table));
    return Math.floor(Date.parse(created) / 1000) * 1000;
  } catch (error) {
    throw toMillraceError(`look at table ${table}`, error);
  }
}

/** A row's time to live, in milliseconds since 1970; the server's own only clears away what nobody is shown any more. */
const EXPIRES = "Millrace-Expires";
/** Seconds that an expired row stays: clocks differ. */
const EXPIRED_STAYS = 3600;
/** Marks a row that was removed, as the clients of NATS do. https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-8.md */
const OPERATION = "KV-Operation";
/** Seconds that the mark of a removed row stays. */
const REMOVED_STAYS = 1;

class NatsTable implements TableReader, TableWriter {
  readonly #part: string;
  readonly #stream: string;
  readonly #subject: string;
  readonly #world: KubernetesWorld;

  constructor(address: LinkAddress, world: KubernetesWorld) {
    this.#part = address.part;
    this.#stream = tableStream(field(address, "table"));
    this.#subject = tableSubject(field(address, "table"));
    this.#world = world;
  }

  async get<Value>(partition: string, sort: string): Promise<Row<Value> | undefined> {
    checkKeys(partition, sort);
    const stored = await this.#stored(partition, sort);
    return stored && this.#isAlive(stored) ? toRow<Value>(partition, sort, stored) : undefined;
  }

  /** The keys of the partition come in one answer, the values only of the rows that are asked for. */
  async query<Value>(
    partition: string,
    { prefix = "", after, limit }: { readonly prefix?: string; readonly after?: string; readonly limit?: number } = {},
  ): Promise<{ readonly rows: readonly Row<Value>[]; readonly next?: string }> {
    checkKey(partition, "a partition");
    const most = pageLimit(limit);
    const what = `query table ${this.#part}`;
    const manager = await this.#manager();
    const filter = `${this.#subject}.${tokenOf(partition)}.*`;
    const info = await this.#call(what, () => manager.streams.info(this.#stream, { subjects_filter: filter }));
    const sorts = sortsIn(info, prefix, after);
    const rows: Row<Value>[] = [];
    // One more than asked for tells whether there are more; those that have expired do not count.
    for (let from = 0; from < sorts.length && rows.length <= most; ) {
      const wanted = sorts.slice(from, from + Math.min(CHUNK, most + 1 - rows.length));
      from += wanted.length;
      const stored = await this.#call(what, () => this.#storedOf(manager, info, partition, wanted));
      rows.push(
        ...stored.filter(([, one]) => this.#isAlive(one)).map(([sort, one]) => toRow<Value>(partition, sort, one)),
      );
    }
    const page = rows.slice(0, most);
    return { rows: page, ...(rows.length > most && { next: page.at(-1)!.sort }) };
  }

  async put(
    partition: string,
    sort: string,
    value: unknown,
    { ifVersion, expires }: { readonly ifVersion?: string; readonly expires?: number } = {},
  ): Promise<string> {
    checkKeys(partition, sort);
    const body = JSON.stringify(value ?? null);
    const write = (sequence: number | undefined) =>
      this.#write(partition, sort, sequence, rowMessage(body, expires, this.#world.clock.now()));
    if (ifVersion === undefined) return versionOf(await write(undefined), expires);
    if (ifVersion !== "absent") return versionOf(await write(this.#sequenceIn(ifVersion, sort)), expires);
    try {
      return versionOf(await write(NOTHING), expires);
    } catch (error) {
      // A row that was removed or has expired is as good as absent, but only the one that was looked at.
      const found = (error as MillraceError).kind === "conflict" ? await this.#stored(partition, sort) : undefined;
      if (!found || this.#isAlive(found)) throw error;
      return versionOf(await write(found.sequence), expires);
    }
  }

  async remove(partition: string, sort: string, { ifVersion }: { readonly ifVersion?: string } = {}): Promise<void> {
    checkKeys(partition, sort);
    const sequence = ifVersion === undefined ? undefined : this.#sequenceIn(ifVersion, sort);
    await this.#write(partition, sort, sequence, { body: "", headers: { [OPERATION]: "DEL" }, ttl: REMOVED_STAYS });
  }

  /**
   * Tries again what got no answer. A condition that does not hold then may be our own doing.
   *
   * @returns the sequence it has in the stream.
   */
  async #write(
    partition: string,
    sort: string,
    sequence: number | undefined,
    message: Omit<Publication, "subject">,
  ): Promise<number> {
    const subject = `${this.#subject}.${rowKey(partition, sort)}`;
    const expect = sequence === undefined ? {} : { expect: { lastSubjectSequence: sequence } };
    const row = { subject, id: randomUUID(), ...message, ...expect };
    for (let tries = 1; ; tries += 1) {
      this.#world.signal.throwIfAborted();
      try {
        return (await publish(await this.#world.nats(), `put into table ${this.#part}`, row)).seq;
      } catch (error) {
        const { kind } = error as MillraceError;
        const last = kind === "conflict" && tries > 1 ? await this.#stored(partition, sort) : undefined;
        if (last?.id === row.id) return last.sequence;
        if (kind !== "unavailable" || sequence === undefined || tries === TRIES) throw error;
        await delay(AGAIN);
      }
    }
  }

  /** The last message of the row's subject, from the leader: what other servers have may be older. */
  async #stored(partition: string, sort: string): Promise<Stored | undefined> {
    const manager = await this.#manager();
    const subject = `${this.#subject}.${rowKey(partition, sort)}`;
    return this.#call(`get from table ${this.#part}`, () => lastOf(manager, this.#stream, subject));
  }

  /** Those rows, in that order; one that went since is left out. */
  async #storedOf(
    manager: JetStreamManager,
    { config }: StreamInfo,
    partition: string,
    sorts: readonly string[],
  ): Promise<readonly (readonly [string, Stored])[]> {
    const subjects = sorts.map((sort) => `${this.#subject}.${rowKey(partition, sort)}`);
    // Where there are copies, any of them may answer to the quicker call.
    const isOne = config.allow_direct && config.num_replicas === 1;
    const found = await (isOne
      ? lastOfAll(manager, this.#stream, subjects)
      : Promise.all(subjects.map((subject) => lastOf(manager, this.#stream, subject))));
    return sorts.flatMap((sort, index) => {
      const stored = found[index];
      return stored ? [[sort, stored] as const] : [];
    });
  }

  #isAlive = ({ isRemoved, expires }: Stored): boolean =>
    !isRemoved && (expires === undefined || expires > this.#world.clock.now());

  /** @throws `conflict` if it is no version, or that of a row that has expired. */
  #sequenceIn(version: string, sort: string): number {
    const [, sequence, expires] = /^(\d+)(?:-(\d+))?$/.exec(version) ?? [];
    if (sequence !== undefined && (expires === undefined || Number(expires) > this.#world.clock.now()))
      return Number(sequence);
    throw new MillraceError(
      "conflict",
      `table ${this.#part}: row "${sort}" of version ${version} is not there any more`,
    );
  }

  async #manager(): Promise<JetStreamManager> {
    this.#world.signal.throwIfAborted();
    return jetstreamManager(await this.#world.nats(), { checkAPI: false });
  }

  async #call<Answer>(what: string, work: () => Promise<Answer>): Promise<Answer> {
    try {
      return await work();
    } catch (error) {
      throw toMillraceError(what, error);
    }
  }
}

/** Milliseconds until a put is tried again that got no answer. */
const AGAIN = 250;
/** The sequence that a subject without messages has. */
const NOTHING = 0;
/** Rows asked for at once: the server answers up to 1,024. https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-31.md */
const CHUNK = 500;

const checkKeys = (partition: string, sort: string): void => {
  checkKey(partition, "a partition");
  checkKey(sort, "a sort key");
};

function rowMessage(body: string, expires: number | undefined, now: number): Omit<Publication, "subject"> {
  if (expires === undefined) return { body };
  const ttl = Math.max(0, (expires - now) / 1000) + EXPIRED_STAYS;
  return { body, headers: { [EXPIRES]: String(expires) }, ttl };
}

/** The sort keys behind `after` that begin so, in byte order. */
function sortsIn({ state }: StreamInfo, prefix: string, after: string | undefined): readonly string[] {
  const behind = after === undefined ? undefined : Buffer.from(after);
  return Object.keys(state.subjects ?? {})
    .map((subject) => sortOf(subject))
    .filter((sort) => sort.startsWith(prefix))
    .map((sort) => ({ sort, bytes: Buffer.from(sort) }))
    .filter(({ bytes }) => behind === undefined || Buffer.compare(bytes, behind) > 0)
    .sort((one, other) => Buffer.compare(one.bytes, other.bytes))
    .map(({ sort }) => sort);
}

interface Stored {
  /** Of the put. */
  readonly id: string;
  readonly sequence: number;
  readonly value: string;
  readonly expires: number | undefined;
  readonly isRemoved: boolean;
}

function toStored({ seq, header, data }: StoredMsg): Stored {
  const expires = header.get(EXPIRES);
  return {
    id: header.get("Nats-Msg-Id"),
    sequence: seq,
    value: Buffer.from(data).toString("utf8"),
    expires: expires === "" ? undefined : Number(expires),
    isRemoved: header.has(OPERATION),
  };
}

async function lastOf(manager: JetStreamManager, stream: string, subject: string): Promise<Stored | undefined> {
  const found = await manager.streams.getMessage(stream, { last_by_subj: subject });
  return found ? toStored(found) : undefined;
}

/** As many at once as go into one request. */
async function lastOfAll(manager: JetStreamManager, stream: string, subjects: readonly string[]) {
  const found = new Map<string, Stored>();
  for (const some of inRequests(subjects)) {
    for await (const message of await manager.direct.getLastMessagesFor(stream, { multi_last: [...some] }))
      found.set(message.subject, toStored(message));
  }
  return subjects.map((subject) => found.get(subject));
}

/** Characters of one request: the server takes one of 1 MB. */
const REQUEST_SIZE = 256 * 1024;

function* inRequests(subjects: readonly string[]): Generator<readonly string[]> {
  let some: string[] = [];
  let size = 0;
  for (const subject of subjects) {
    if (size + subject.length > REQUEST_SIZE) {
      yield some;
      [some, size] = [[], 0];
    }
    some.push(subject);
    size += subject.length + 3;
  }
  if (some.length > 0) yield some;
}

/** When the row expires is in its version, so that a condition on it needs no look at the row. */
const versionOf = (sequence: number, expires: number | undefined): string =>
  expires === undefined ? String(sequence) : `${sequence}-${expires}`;

const toRow = <Value>(partition: string, sort: string, { value, sequence, expires }: Stored): Row<Value> => ({
  partition,
  sort,
  value: JSON.parse(value) as Value,
  version: versionOf(sequence, expires),
  ...(expires !== undefined && { expires }),
});
