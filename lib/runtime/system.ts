import type { BucketReader, BucketRemover, BucketWriter, Message, QueueReceiver, QueueSender } from "./ports.ts";
import type { TaskClient } from "./tasks/task.ts";
import type { WorkflowClient } from "./workflows/run.ts";

/** A deployed stack from outside, as its cloud's client opens it: by the names of its parts. */
export interface DeployedSystem {
  readonly tasks: TaskClient;
  /** Absent: this cloud has no workflows. */
  readonly workflows?: WorkflowClient;
  /** @throws `not-found` if there is no such bucket. */
  bucket(name: string): Promise<BucketReader & BucketWriter & BucketRemover>;
  /** @throws `not-found` if there is no such queue. */
  queue(name: string): Promise<QueueSender & QueueReceiver & QueueInspector>;
  /** Lets go of connections and of temporary files. */
  close(): Promise<void>;
}

/** Looks into a queue. */
export interface QueueInspector {
  stats(): Promise<QueueStats>;
  /**
   * The first messages, without receiving them.
   *
   * @throws `refused` where looking would count as a receive.
   */
  peek(limit: number): Promise<readonly PeekedMessage[]>;
}

export interface QueueStats {
  /** Messages that can be received now. */
  readonly ready: number;
  /** Received, hidden from others, not yet acknowledged. */
  readonly inFlight: number;
  /** Sent with a delay that is not over. */
  readonly delayed: number;
  /** When the oldest message was sent, ISO 8601; absent in an empty queue, and where the cloud does not say. */
  readonly oldest?: string;
}

export type PeekedMessage = Omit<Message, "receipt">;
