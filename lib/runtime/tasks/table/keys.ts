import { shortHash } from "../../../shared/name.ts";
import type { TaskRow } from "../row.ts";
import type { TaskStatus } from "../task.ts";

/*
 * How rows are spread. Everything of one run lies in a partition of its own, named by a hash: any number of runs at
 * any rate, also where the service splits its partitions by ranges of names
 * (https://www.alibabacloud.com/help/en/tablestore/product-overview/primary-keys-and-attributes).
 * Only indexes share partitions. Each is spread over a few by a hash of the run's id, and read from all of them: one
 * partition of DynamoDB takes 1,000 writes a second
 * (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html), a run makes at most
 * two in any index, so four of them carry 2,000 runs a second of one task. The exception is on purpose: the slots of a
 * task with a cap are in one partition, since they are read together at every claim; 500 starts a second.
 * Keys are letters, digits, `/`, `.`, `-` and `_` alone, as NATS wants them
 * (https://docs.nats.io/nats-concepts/jetstream/key-value-store), as long as the task's name is.
 */

/** Where a run's own rows lie: the run, its large bodies, its older events. */
export const runPartition = (task: string, id: string): string => `run/${shortHash(`${task}\0${id}`, 24)}`;

/** The run itself, in its partition. */
export const RUN = "run";

/** Groups a list is made of: runs that are not over, and those that ended so. */
export const LIST_GROUPS = ["open", "succeeded", "failed", "stopped", "expired"] as const;
export type ListGroup = (typeof LIST_GROUPS)[number];

export const listGroupOf = (status: TaskStatus): ListGroup =>
  LIST_GROUPS.find((group) => group === status) ?? LIST_GROUPS[0];

/** The partitions of a task's indexes. */
export class Partitions {
  readonly #shards: number;

  constructor(shards: number) {
    this.#shards = shards;
  }

  /** Waiting runs, in the order of their starts. */
  waiting(task: string): readonly string[] {
    return this.#all(`wait/${task}`);
  }

  /** Runs that hold a slot of a task without a cap. */
  held(task: string): readonly string[] {
    return this.#all(`held/${task}`);
  }

  /** Runs that hold a slot of a task with a cap. */
  slots(task: string): string {
    return `slots/${task}`;
  }

  /** Runs somebody must look at, in the order of when. */
  waking(task: string): readonly string[] {
    return this.#all(`wake/${task}`);
  }

  /** Runs of one group, the newest first. */
  listed(task: string, group: ListGroup): readonly string[] {
    return this.#all(`list/${task}/${group}`);
  }

  /** Which of them is this run's. */
  of(partitions: readonly string[], id: string): string {
    return partitions[Number.parseInt(shortHash(id, 4), 36) % partitions.length]!;
  }

  #all(stem: string): readonly string[] {
    return Array.from({ length: this.#shards }, (_, shard) => `${stem}/${shard}`);
  }
}

/** After every sort key that begins with what stands before it: all of ours are below it in ASCII. */
export const END = "~";

const DIGITS = 16;

/** A number as text that sorts as it does. */
const up = (number: number): string => String(Math.floor(number)).padStart(DIGITS, "0");

/** A number as text that sorts the other way round. */
export const down = (number: number): string => up(Number.MAX_SAFE_INTEGER - number);

/** Highest first, for every whole number, negative ones too. */
export const rankOf = (priority: number): string => String(2n ** 53n - BigInt(priority)).padStart(DIGITS + 1, "0");

const LABEL_LENGTH = 12;

/** A few characters for an id: what sorts last, and fits any key. */
export const labelOf = (id: string): string => shortHash(id, LABEL_LENGTH);

/** Priority, due time, order of submits: where a waiting run stands. */
export const waitOrder = ({ priority, due, sequence, id }: TaskRow): string =>
  `${rankOf(priority)}.${up(due)}.${up(sequence)}.${labelOf(id)}`;

/** The waiting runs of that rank that are due after that time begin behind this. */
export const behindDue = (rank: string, time: number): string => `${rank}.${up(time)}.${END}`;

/** Rank and due time of a waiting run, from its sort key. */
export function readWait(sort: string): { readonly rank: string; readonly due: number } {
  const [rank = "", due = ""] = sort.split(".");
  return { rank, due: Number(due) };
}

export const wakeOrder = (time: number, id: string): string => `${up(time)}.${labelOf(id)}`;

/** Time of an entry of the waking index, from its sort key. */
export const readWake = (sort: string): number => Number(sort.slice(0, DIGITS));

/** A run's place in lists: the newest submit sorts first. */
export const listOrder = (sequence: number, id: string): string => `${down(sequence)}.${labelOf(id)}`;

export const slotSort = (number: number): string => String(number).padStart(8, "0");
