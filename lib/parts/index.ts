export type { BucketSpec } from "./bucket.ts";
export {
  Cloud,
  type CloudDriver,
  type CloudSettings,
  type ExportedStack,
  type Linked,
  outputOf,
  type Scope,
} from "./cloud.ts";
export { type Code, code } from "./code.ts";
export { Construct, type ConstructArgs } from "./construct.ts";
export {
  both,
  type Counts,
  either,
  Flow,
  type Given,
  is,
  isAbove,
  isBelow,
  type MapOptions,
  not,
  type Ref,
  type RepeatOptions,
  type StepOptions,
} from "./flow.ts";
export type { FunctionSpec } from "./function.ts";
export {
  all,
  answer,
  claim,
  control,
  invoke,
  type Link,
  mount,
  produce,
  type ReachOptions,
  read,
  receive,
  remove,
  send,
  start,
  submit,
  write,
} from "./link.ts";
export type { Backoff, Machine } from "./machine.ts";
export { type Alarm, type AlarmArgs, alarmsFor, type MonitorSpec } from "./monitor.ts";
export type {
  Bucket,
  Built,
  FunctionPart,
  Monitor,
  Part,
  Queue,
  Schedule,
  Secret,
  Stream,
  Table,
  TaskPart,
  Volume,
  Workflow,
} from "./part.ts";
export type { CloudKind, PartKind, PartPlan, Plan } from "./plan.ts";
export { type ImageOptions, image, type Program, type ProgramOptions, python } from "./program.ts";
export type { QueueSpec } from "./queue.ts";
export type { BucketReach } from "./reach.ts";
export type { ScheduleSpec } from "./schedule.ts";
export type { SecretSpec } from "./secret.ts";
export { consumed, created, cron, every, fired, received, type Source } from "./source.ts";
export type { Kafka, StreamSpec } from "./stream.ts";
export type { Fact, LimitName, OptionFact, PartFact, Support } from "./support.ts";
export type { TableSpec } from "./table.ts";
export type { Hook, HookSpec, TaskBehavior, TaskSpec } from "./task.ts";
export type { VolumeSpec } from "./volume.ts";
export type { WorkflowSpec } from "./workflow.ts";
