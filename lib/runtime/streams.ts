import type { StreamRecord } from "./events.ts";
import type { NewRecord } from "./ports.ts";

/** Looks into streams and appends to them, from outside. Every method that names a stream throws `not-found` if there is none. */
export interface StreamClient {
  /** All streams, in the plan's order. */
  list(): Promise<readonly StreamInfo[]>;
  /** Resolves once the stream keeps all of them, with where each one is. A call that fails may have kept some. */
  produce(stream: string, records: readonly NewRecord[]): Promise<readonly RecordPlace[]>;
  /** Records of one partition as they lie there, without any group's place moving; committed ones only. */
  read(stream: string, options: ReadOptions): Promise<StreamPage>;
  /** How far each group that has a place in the stream is behind. */
  lag(stream: string): Promise<readonly GroupLag[]>;
}

export interface StreamInfo {
  readonly stream: string;
  readonly partitions: readonly PartitionInfo[];
}

export interface PartitionInfo {
  readonly partition: number;
  /** The offset of the oldest record that is kept; `next` in an empty partition. */
  readonly first: number;
  /** The offset that the next record gets. */
  readonly next: number;
}

/** Where a record lies. */
export interface RecordPlace {
  readonly partition: number;
  readonly offset: number;
}

export interface ReadOptions {
  readonly partition: number;
  /** The offset to begin at; one that is gone begins at the first there is. @default the first */
  readonly from?: number;
  /** Most records, 1 to 10,000; there may be fewer though more follow, where they are large. @default 1,000 */
  readonly limit?: number;
}

export interface StreamPage {
  readonly records: readonly StreamRecord[];
  /** Where to go on: nothing before it is to come any more. */
  readonly next: number;
}

export interface GroupLag {
  readonly group: string;
  readonly partitions: readonly PartitionLag[];
  /** Of all partitions. */
  readonly lag: number;
}

export interface PartitionLag {
  readonly partition: number;
  /** The offset that everything before is done. */
  readonly next: number;
  /** Records that wait. */
  readonly lag: number;
}
