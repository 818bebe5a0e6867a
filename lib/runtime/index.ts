export type { Clock } from "./clock.ts";
export { type ErrorKind, type ErrorRecord, MillraceError } from "./errors.ts";
export type {
  BucketCreated,
  FunctionInvoked,
  QueueReceived,
  ScheduleFired,
  SourceEvent,
  StreamConsumed,
  StreamRecord,
} from "./events.ts";
export type { Context, Handler, Log, LogFields, LogLevel, Metrics, Run } from "./handler.ts";
export type {
  BucketReader,
  BucketRemover,
  BucketUploader,
  BucketWriter,
  Crc64,
  FunctionInvoker,
  GetOptions,
  HeadOptions,
  Message,
  NewRecord,
  ObjectInfo,
  PartitionClaim,
  Piece,
  PieceSource,
  PutOptions,
  QueueReceiver,
  QueueSender,
  Row,
  SecretReader,
  SendOptions,
  StreamClaimer,
  StreamProducer,
  StreamSend,
  TableReader,
  TableWriter,
  TaskController,
  TaskSubmitter,
  Upload,
  VolumeMount,
  WorkflowAnswerer,
  WorkflowController,
  WorkflowStarter,
} from "./ports.ts";
export type { Envelope, PayloadReference } from "./tasks/envelope.ts";
export type { Task, TaskClient, TaskStatus } from "./tasks/task.ts";
export type {
  Answer,
  StepRecord,
  StepStatus,
  WorkflowClient,
  WorkflowFilter,
  WorkflowHistory,
  WorkflowPage,
  WorkflowRun,
  WorkflowStatus,
} from "./workflows/run.ts";
