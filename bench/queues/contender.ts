import type { Job } from "./job.ts";

/** A task queue under test: its service and workers run, in processes of their own, until it is closed. */
export interface Contender {
  /** How many run at once. */
  readonly concurrency: number;
  submit(id: string, job: Job, options?: SubmitOptions): Promise<void>;
  state(id: string): Promise<"waiting" | "running" | "finished">;
  /** What the worker answered; of a finished one. */
  result(id: string): Promise<number>;
  close(): Promise<void>;
}

export interface SubmitOptions {
  /** Goes before all that are not. @default not */
  readonly urgent?: boolean;
}

/** Names of contenders, and how each is started in an empty folder. */
export const CONTENDERS = {
  millrace: (folder: string, concurrency: number) => import("./millrace.ts").then((m) => m.start(folder, concurrency)),
  "millrace over HTTP": (folder: string, concurrency: number) =>
    import("./millrace-http.ts").then((m) => m.start(folder, concurrency)),
  BullMQ: (folder: string, concurrency: number) =>
    import("./bullmq.ts").then((m) => m.start(folder, concurrency, { isDurable: false })),
  "BullMQ, AOF": (folder: string, concurrency: number) =>
    import("./bullmq.ts").then((m) => m.start(folder, concurrency, { isDurable: true })),
} as const satisfies Readonly<Record<string, (folder: string, concurrency: number) => Promise<Contender>>>;

export type ContenderName = keyof typeof CONTENDERS;
