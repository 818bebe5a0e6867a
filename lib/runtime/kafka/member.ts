import {
  heartbeatV2,
  joinGroupV4,
  leaveGroupV2,
  offsetCommitV6,
  Reader,
  syncGroupV2,
  Writer,
} from "@platformatic/kafka";
import { ask, type Caller, Cluster } from "./cluster.ts";
import type { KafkaConnection } from "./connection.ts";
import { committedOf } from "./places.ts";
import { codesOf } from "./refusals.ts";

/** What the group says: go on, meet again, or that it has given the member's partitions to others. */
export type Standing = "stable" | "rebalancing" | "lost";

/** As clients of other languages deal partitions out, so that a group may have members of both. */
const PROTOCOL = "range";
const LOST = ["UNKNOWN_MEMBER_ID", "ILLEGAL_GENERATION", "FENCED_INSTANCE_ID"];

export interface MemberOptions {
  readonly connection: KafkaConnection;
  readonly group: string;
  readonly topic: string;
  /** Milliseconds without a word until the group takes a member for gone. */
  readonly session: number;
  /** Milliseconds that a member has to end what it does when the group meets again. */
  readonly rebalance: number;
}

/**
 * A member of a consumer group, which deals the partitions of a topic out among its members.
 *
 * @see https://kafka.apache.org/documentation/#design_consumerposition
 */
export class Member {
  readonly #options: MemberOptions;
  readonly #caller: Caller;
  readonly #cluster: Cluster;
  #id = "";
  #generation = -1;
  /** How many partitions each topic had when they were dealt out, if this member did it. */
  #dealt: ReadonlyMap<string, number> = new Map();

  constructor(options: MemberOptions, caller: Caller) {
    this.#options = options;
    this.#caller = caller;
    // The group answers once it has met.
    this.#cluster = new Cluster(options.connection, { silence: options.rebalance + 15_000 });
  }

  /** Resolves with the member's partitions once the group has met. */
  join(): Promise<readonly number[]> {
    return this.#cluster.patiently(this.#caller, `join group ${this.#options.group}`, async () => {
      try {
        return await this.#meet();
      } catch (error) {
        // A new member is told its id by being refused once.
        const told = (error as { readonly response?: { readonly memberId?: string } }).response?.memberId;
        if (codesOf(error).includes("MEMBER_ID_REQUIRED")) this.#id = told ?? "";
        else if (codesOf(error).some((code) => LOST.includes(code))) this.#id = "";
        throw error;
      }
    });
  }

  async heartbeat(): Promise<Standing> {
    try {
      await ask(heartbeatV2.api, await this.#coordinator(), this.#options.group, this.#generation, this.#id);
      return (await this.#isDealtOut()) ? "stable" : "rebalancing";
    } catch (error) {
      const standing = standingOf(error);
      if (!standing) throw error;
      return standing;
    }
  }

  /** The places that the group has committed in partitions. */
  committed(partitions: readonly number[]): Promise<ReadonlyMap<number, number>> {
    const { group, topic } = this.#options;
    return this.#cluster.patiently(this.#caller, `places of group ${group}`, async () =>
      committedOf(this.#cluster, await this.#coordinator(), { group, topic, partitions }),
    );
  }

  /** Everything before these places is done, by partition. */
  commit(places: ReadonlyMap<number, number>): Promise<Standing> {
    const { group, topic } = this.#options;
    const partitions = [...places].map(([partitionIndex, place]) => ({
      partitionIndex,
      committedOffset: BigInt(place),
      committedLeaderEpoch: -1,
      committedMetadata: null,
    }));
    return this.#cluster.patiently(this.#caller, `commit places of group ${group}`, async () => {
      try {
        const connection = await this.#coordinator();
        const topics = [{ name: topic, partitions }];
        await ask(offsetCommitV6.api, connection, group, this.#generation, this.#id, null, topics);
        return "stable";
      } catch (error) {
        const standing = standingOf(error);
        if (!standing) throw error;
        return standing;
      }
    });
  }

  /** Others get its partitions at once. */
  async leave(): Promise<void> {
    if (this.#id === "") return;
    const { connection, group } = this.#options;
    // On a connection of its own: a broker answers one in turn, and may be holding back the answer to a join.
    const apart = new Cluster(connection);
    try {
      const coordinator = await apart.to(await apart.coordinator(this.#caller, "group", group));
      await ask(leaveGroupV2.api, coordinator, group, [{ memberId: this.#id }]);
    } finally {
      apart.close();
    }
  }

  close(): void {
    this.#cluster.close();
  }

  async #meet(): Promise<readonly number[]> {
    const { group, topic, session, rebalance } = this.#options;
    const connection = await this.#coordinator();
    const protocols = [{ name: PROTOCOL, version: 0, metadata: subscriptionTo([topic]) }];
    const joined = await ask(
      joinGroupV4.api,
      connection,
      group,
      session,
      rebalance,
      this.#id,
      null,
      "consumer",
      protocols,
      "",
    );
    this.#id = joined.memberId ?? this.#id;
    this.#generation = joined.generationId;
    const isLeader = joined.leader === this.#id;
    this.#dealt = new Map();
    const assignments = isLeader ? await this.#dealOut(joined.members) : [];
    const synced = await ask(
      syncGroupV2.api,
      connection,
      group,
      this.#generation,
      this.#id,
      null,
      "consumer",
      PROTOCOL,
      assignments as never,
    );
    return readAssignment(synced.assignment).get(topic) ?? [];
  }

  /** The partitions of each topic in equal runs, to the members that want it, by their ids. */
  async #dealOut(members: readonly { readonly memberId: string; readonly metadata?: Buffer | null }[]) {
    const wanting = members.map(({ memberId, metadata }) => ({ memberId, topics: readSubscription(metadata) }));
    wanting.sort((one, other) => (one.memberId < other.memberId ? -1 : 1));
    const shares = new Map(wanting.map(({ memberId }) => [memberId, new Map<string, number[]>()] as const));
    const dealt = new Map<string, number>();
    for (const topic of new Set(wanting.flatMap(({ topics }) => topics))) {
      const takers = wanting.filter(({ topics }) => topics.includes(topic));
      const partitions = await this.#cluster.partitions(this.#caller, topic);
      dealt.set(topic, partitions);
      for (let partition = 0; partition < partitions; partition += 1) {
        const taker = takers[Math.floor((partition * takers.length) / partitions)]!;
        const share = shares.get(taker.memberId)!;
        share.set(topic, [...(share.get(topic) ?? []), partition]);
      }
    }
    this.#dealt = dealt;
    return [...shares].map(([memberId, share]) => ({ memberId, assignment: writeAssignment(share) }));
  }

  /** A topic that has more partitions now has some that nobody reads. */
  async #isDealtOut(): Promise<boolean> {
    for (const [topic, dealt] of this.#dealt) {
      if ((await this.#cluster.partitions(this.#caller, topic)) !== dealt) return false;
    }
    return true;
  }

  async #coordinator() {
    return this.#cluster.to(await this.#cluster.coordinator(this.#caller, "group", this.#options.group));
  }
}

function standingOf(error: unknown): Standing | undefined {
  const codes = codesOf(error);
  if (codes.includes("REBALANCE_IN_PROGRESS")) return "rebalancing";
  return codes.some((code) => LOST.includes(code)) ? "lost" : undefined;
}

/** https://kafka.apache.org/protocol#The_Consumer_Embedded_Protocol */
const subscriptionTo = (topics: string[]): Buffer =>
  Writer.create()
    .appendInt16(0)
    .appendArray(topics, (writer, topic) => void writer.appendString(topic, false), false, false)
    .appendBytes(null, false).buffer;

function readSubscription(metadata: Buffer | null | undefined): readonly string[] {
  if (!metadata) return [];
  const reader = Reader.from(metadata);
  reader.skip(2);
  return reader.readArray((inner) => inner.readString(false), false, false);
}

const writeAssignment = (share: ReadonlyMap<string, readonly number[]>): Buffer =>
  Writer.create()
    .appendInt16(0)
    .appendArray(
      [...share],
      (writer, [topic, partitions]) =>
        void writer
          .appendString(topic, false)
          .appendArray([...partitions], (inner, partition) => void inner.appendInt32(partition), false, false),
      false,
      false,
    )
    .appendBytes(null, false).buffer;

function readAssignment(assignment: Buffer): ReadonlyMap<string, readonly number[]> {
  if (assignment.length === 0) return new Map();
  const reader = Reader.from(assignment);
  reader.skip(2);
  return new Map(
    reader.readArray(
      (outer) => [outer.readString(false), outer.readArray((inner) => inner.readInt32(), false, false)] as const,
      false,
      false,
    ),
  );
}
