import type { Block } from "../shared/workflow/definition.ts";

/**
 * The plan: everything a stack declares, as plain JSON. Constructs write it, clouds build it, and `synth`, `dev`,
 * the CLI, docs and tests read it. Durations are seconds, sizes bytes.
 */
export interface Plan {
  readonly version: 1;
  readonly project: string;
  readonly stack: string;
  readonly clouds: readonly CloudPlan[];
  readonly constructs: readonly ConstructPlan[];
  /** In the order they were declared. */
  readonly parts: readonly PartPlan[];
}

export type CloudKind = "local" | "alicloud" | "aws" | "kubernetes";

export interface CloudPlan {
  readonly name: string;
  readonly kind: CloudKind;
  readonly region?: string;
}

export interface ConstructPlan {
  readonly name: string;
  /** `VideoTranscodePipeline`. */
  readonly type: string;
  /** The stem of physical names. */
  readonly id: string;
  readonly parent?: string;
  readonly cloud: string;
}

export type PartPlan =
  | BucketPlan
  | QueuePlan
  | FunctionPlan
  | TaskPlan
  | SchedulePlan
  | SecretPlan
  | VolumePlan
  | TablePlan
  | MonitorPlan
  | WorkflowPlan
  | StreamPlan;
export type PartKind = PartPlan["kind"];
export type PlanOf<Kind extends PartKind> = Extract<PartPlan, { readonly kind: Kind }>;

interface PartBase<Kind extends string> {
  readonly kind: Kind;
  /** Unique in the stack: `<construct>-<part>`. It is state: a rename needs an alias. */
  readonly name: string;
  /** The stem of the physical name: `<construct id>-<part>`. */
  readonly stem: string;
  readonly construct: string;
  readonly cloud: string;
  /** The physical name of one the user has already: used as it is, never changed or destroyed. */
  readonly existing?: string;
}

export interface BucketPlan extends PartBase<"bucket"> {
  /** Objects are removed after that long. */
  readonly expires?: number;
  readonly versioned: boolean;
  /** Whether destroying the stack may delete it, with all in it. */
  readonly removable: boolean;
}

export interface QueuePlan extends PartBase<"queue"> {
  /** How long a received message stays hidden from others. */
  readonly visibility: number;
  /** How long a message is kept. */
  readonly retention: number;
  /** How long every message waits before it can be received. */
  readonly delay: number;
  /** Receives before a message goes to `deadLetters`. */
  readonly attempts?: number;
  /** The queue that takes what failed every attempt. */
  readonly deadLetters?: string;
}

/** Code of ours by its id, or a user's module by its absolute path. */
export type CodePlan = { readonly id: string } | { readonly file: string };

/** What a function runs that is not Node's: called with plain JSON, without links. */
export type ProgramPlan = { readonly image: ImagePlan } | { readonly python: PythonPlan };

export interface ImagePlan {
  /** With its digest. */
  readonly reference: string;
  /** Empty: the image's own. */
  readonly command: readonly string[];
  /** It takes `POST /invoke` there. */
  readonly port: number;
  /** Memory in bytes. */
  readonly gpu?: { readonly type: string; readonly memory: number };
  /** The command that stands for the container on this computer. */
  readonly local?: readonly string[];
}

export interface PythonPlan {
  /** An absolute path; it may hold a `requirements.txt`. */
  readonly folder: string;
  /** `module:function`. */
  readonly entry: string;
}

export interface FunctionPlan extends PartBase<"function"> {
  readonly handler: CodePlan;
  /** What a cloud that can runs in place of the handler. */
  readonly program?: ProgramPlan;
  /** User modules the handler gets as `context.code.<name>`. */
  readonly code: Readonly<Record<string, CodePlan>>;
  readonly links: Readonly<Record<string, LinkPlan>>;
  /** Plain values, baked into the bundle. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly sources: readonly SourcePlan[];
  readonly timeout: number;
  readonly memory: number;
  readonly disk: number;
  /** Virtual CPUs. */
  readonly cpu: number;
  /** Tries of one event, the first included. */
  readonly attempts: number;
  readonly backoff: BackoffPlan;
  /** The queue that takes events that failed every attempt. */
  readonly failures?: string;
  /** Tools such as `ffmpeg`, delivered with the function. */
  readonly tools: readonly string[];
  /** Packages that cannot be bundled, installed beside the bundle. */
  readonly install: readonly string[];
  /** What its code compresses with, where it is a choice: Node has zstd from 22.15 on. */
  readonly compression?: "gzip" | "zstd";
  /** Invocations at once, over all instances; absent: as many as the cloud gives. */
  readonly concurrency?: number;
  readonly environment: Readonly<Record<string, string>>;
  /** What the function is to its task: runs it, turns events into submits, or is told the outcome. Plain functions have none. */
  readonly role?: { readonly task: string; readonly duty: "worker" | "dispatcher" | "destination" };
}

/** Wait before the next try: exponential from `first` to at most `longest`, with full jitter. */
export interface BackoffPlan {
  readonly first: number;
  readonly factor: number;
  readonly longest: number;
}

export interface LinkPlan {
  /** The linked part's name. */
  readonly part: string;
  readonly actions: readonly Action[];
  /** The cloud that has the part, where it is not the function's own. */
  readonly cloud?: string;
  /** The secret with the keys to it, where they are used in place of the function's role. */
  readonly keys?: string;
}

/** The permission words: what one line of `links` may grant. */
export type Action =
  | "bucket.read"
  | "bucket.write"
  | "bucket.remove"
  | "queue.send"
  | "queue.receive"
  | "table.read"
  | "table.write"
  | "secret.read"
  | "volume.read"
  | "volume.write"
  | "function.invoke"
  | "task.submit"
  | "task.read"
  | "task.control"
  | "workflow.start"
  | "workflow.read"
  | "workflow.control"
  | "workflow.answer"
  | "stream.read"
  | "stream.produce"
  | "stream.claim";

export type SourcePlan =
  | { readonly type: "bucket.created"; readonly bucket: string; readonly prefix: string; readonly suffix: string }
  | { readonly type: "queue.received"; readonly queue: string; readonly batch: number; readonly window: number }
  | { readonly type: "schedule.fired"; readonly schedule: string }
  | {
      readonly type: "stream.consumed";
      readonly stream: string;
      /** Whose place in the stream it is; absent: one of its own. */
      readonly group?: string;
      readonly batch: number;
      readonly window: number;
      /** Where a group begins that is new. */
      readonly from: "earliest" | "latest";
    };

export interface TaskPlan extends PartBase<"task"> {
  /** The function that does the work. */
  readonly worker: string;
  /** The function that turns events and bare payloads into submits. */
  readonly dispatcher: string;
  /** Longest time of one attempt, up to 24 hours. */
  readonly timeout: number;
  /** Between the request to stop and the kill. */
  readonly grace: number;
  readonly attempts: number;
  readonly backoff: BackoffPlan;
  /** Runs at once; absent: as many as the cloud gives. */
  readonly concurrency?: number;
  /** Given up if not started within this time of being due. */
  readonly expires?: number;
  /** How long a finished run is remembered. */
  readonly retention: number;
  /** Told of success, in this order. */
  readonly onSuccess: readonly DestinationPlan[];
  /** Told of failure, stop and expiry. */
  readonly onFailure: readonly DestinationPlan[];
}

export interface DestinationPlan {
  readonly kind: "queue" | "function";
  readonly name: string;
}

export interface SchedulePlan extends PartBase<"schedule"> {
  readonly timing: TimingPlan;
  readonly enabled: boolean;
}

export type TimingPlan =
  | { readonly every: number }
  /** Five fields (minute hour day-of-month month day-of-week), and an IANA time zone. */
  | { readonly cron: string; readonly timeZone: string };

export interface SecretPlan extends PartBase<"secret"> {
  /** The key of the Pulumi config value that holds it; the value itself is in no plan. */
  readonly config?: string;
}

export interface VolumePlan extends PartBase<"volume"> {
  readonly removable: boolean;
}

export interface TablePlan extends PartBase<"table"> {
  readonly removable: boolean;
}

export interface WorkflowPlan extends PartBase<"workflow"> {
  readonly definition: Block;
  /** Longest time of one run. */
  readonly timeout: number;
}

export interface StreamPlan extends PartBase<"stream"> {
  readonly partitions: number;
  /** How long a record is kept. */
  readonly retention: number;
  /** Whether destroying the stack may delete it, with all in it. */
  readonly removable: boolean;
  readonly kafka?: KafkaPlan;
}

/** The Kafka a stream lies in. */
export interface KafkaPlan {
  /** `host:port`. */
  readonly brokers: readonly string[];
  readonly tls: boolean;
  /** Who vouches for the brokers: certificates as base64, with commas between them. */
  readonly ca?: string;
  /** The secret with the user's name and password. */
  readonly user?: string;
  readonly mechanism?: "plain" | "scram-sha-256" | "scram-sha-512";
  /** The cloud's own identifier of it. */
  readonly instance?: string;
}

/** Alarms on parts, sent to a destination. */
export interface MonitorPlan extends PartBase<"monitor"> {
  readonly alarms: readonly AlarmPlan[];
  /** Where alarms go; empty: they are only shown. */
  readonly notify: readonly DestinationPlan[];
}

export interface AlarmPlan {
  readonly part: string;
  readonly metric: "failures" | "messages" | "age" | "duration" | "lag";
  /** Alarms above this value… */
  readonly above: number;
  /** …for this many seconds. */
  readonly period: number;
}
