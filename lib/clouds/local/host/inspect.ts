import type { CloudKind, Plan } from "../../../parts/plan.ts";
import type {
  BucketReader,
  BucketRemover,
  BucketWriter,
  NewRecord,
  ObjectInfo,
  SendOptions,
} from "../../../runtime/ports.ts";
import type { GroupLag, ReadOptions, RecordPlace, StreamInfo, StreamPage } from "../../../runtime/streams.ts";
import type { PeekedMessage, QueueStats } from "../../../runtime/system.ts";
import type { BulkTaskClient } from "../../../runtime/tasks/bulk.ts";
import type { NewLogLine } from "../../../runtime/tasks/logs.ts";
import type { Task } from "../../../runtime/tasks/task.ts";
import type { WorkflowClient, WorkflowRun } from "../../../runtime/workflows/run.ts";
import type { Problem } from "../../../shared/problem.ts";
import type { ConsumedBatch } from "./consumer.ts";
import type { AlarmChange } from "./monitors.ts";

/** What the running local cloud shows of itself: to its HTTP server, and through that to client, CLI and console. */
export interface LocalView {
  plan(): Plan;
  readonly tasks: BulkTaskClient;
  readonly workflows: WorkflowClient;
  readonly buckets: LocalBuckets;
  readonly queues: LocalQueues;
  readonly streams: LocalStreams;
  /** Calls back at every change until the answer is called. */
  onChange(listener: (change: LocalChange) => void): () => void;
}

/** Something that happened in the local cloud, for live views. */
export type LocalChange =
  | { readonly type: "task.changed"; readonly task: Task }
  | { readonly type: "task.logged"; readonly task: string; readonly id: string; readonly line: NewLogLine }
  /** A run of a workflow, or a step of it. */
  | { readonly type: "workflow.changed"; readonly run: WorkflowRun }
  | { readonly type: "function.logged"; readonly function: string; readonly line: NewLogLine }
  | { readonly type: "object.created"; readonly bucket: string; readonly object: ObjectInfo }
  /** A function has done a batch of a stream's records. */
  | ({ readonly type: "records.consumed" } & ConsumedBatch)
  | ({ readonly type: "alarm.changed" } & AlarmChange)
  | { readonly type: "plan.changed"; readonly plan: Plan };

/** What `millrace dev` tells of, beside what happens in the cloud itself. */
export type DevEvent =
  | LocalChange
  /** Something the user should know; nothing stops for it. */
  | { readonly type: "warned"; readonly message: string }
  /** An edit was taken: these functions run new code from now on. */
  | { readonly type: "code.changed"; readonly functions: readonly string[]; readonly milliseconds: number }
  /** An edit was not taken: what ran before goes on. */
  | { readonly type: "edit.refused"; readonly message: string; readonly problems: readonly Problem[] };

export interface DevOptions {
  /** The program's first module. @default what Pulumi would run in the working directory */
  readonly program?: string;
  /** @default dev */
  readonly stack?: string;
  /** Keeps the limits of this cloud. @default local's own */
  readonly as?: CloudKind;
  /** Where the local cloud keeps everything. */
  readonly folder: string;
  /** @default a free one */
  readonly port?: number;
  /** A Kafka without users, as `host:port`, several with commas, that all streams lie in. @default the journal keeps them */
  readonly kafka?: string;
  readonly onEvent: (event: DevEvent) => void;
}

/** A local cloud that runs a program until it is closed. */
export interface DevSession {
  readonly url: string;
  readonly plan: Plan;
  /** Settles when it has ended: by `close`, or rejects with what ended it. */
  readonly closed: Promise<void>;
  /** Stops everything in an orderly way; what runs goes on at the next start. */
  close(): Promise<void>;
}

export interface LocalBuckets {
  /** The buckets' names, in the plan's order. */
  list(): readonly string[] | Promise<readonly string[]>;
  /** @throws `not-found` if there is no such bucket. */
  reader(bucket: string): Pick<BucketReader, "head" | "stream" | "list">;
  /** @throws `not-found` if there is no such bucket. */
  writer(bucket: string): Pick<BucketWriter, "put">;
  /** @throws `not-found` if there is no such bucket. */
  remover(bucket: string): Pick<BucketRemover, "remove">;
}

/** Every method throws `not-found` if there is no such queue. */
export interface LocalQueues {
  stats(queue: string): QueueStats | Promise<QueueStats>;
  /** The first messages, oldest first, without receiving them. */
  peek(queue: string, limit: number): readonly PeekedMessage[] | Promise<readonly PeekedMessage[]>;
  /** The message's id. */
  sendNow(queue: string, body: string, options?: SendOptions): string | Promise<string>;
  /** Moves messages to another queue, by default back to the one they failed in; how many. */
  redrive(queue: string, options?: RedriveOptions): number | Promise<number>;
}

export interface RedriveOptions {
  /** @default the queue whose dead letters these are */
  readonly to?: string;
  /** @default all */
  readonly limit?: number;
}

/** Every method that names a stream throws `not-found` if there is none. */
export interface LocalStreams {
  /** In the plan's order. */
  list(): readonly StreamInfo[] | Promise<readonly StreamInfo[]>;
  append(stream: string, records: readonly NewRecord[]): readonly RecordPlace[] | Promise<readonly RecordPlace[]>;
  read(stream: string, options: ReadOptions): StreamPage | Promise<StreamPage>;
  lag(stream: string): readonly GroupLag[] | Promise<readonly GroupLag[]>;
}
