export { AsyncTask, type AsyncTaskArgs } from "./constructs/async-task.ts";
export { type EtlOperator, enrich, filter, map, mask, type ReadyMade, split } from "./constructs/etl-operators.ts";
export {
  type DeadLetter,
  type EtlOutput,
  type EtlRecord,
  KafkaEtlPipeline,
  type KafkaEtlPipelineArgs,
  type OperatorContext,
  type RecordHook,
  type Redriven,
  type RedriveRequest,
} from "./constructs/kafka-etl-pipeline.ts";
export {
  LargeObjectTransfer,
  type LargeObjectTransferArgs,
  type TransferStart,
} from "./constructs/large-object-transfer.ts";
export {
  type ApplicationArg,
  type ArchiveCompression,
  LogArchivePipeline,
  type LogArchivePipelineArgs,
  type RedisLock,
  type Sealing,
} from "./constructs/log-archive-pipeline.ts";
export {
  type MapReduceCode,
  MapReduceFlow,
  type MapReduceFlowArgs,
  type MapReduceInput,
} from "./constructs/map-reduce-flow.ts";
export type { Slicing } from "./constructs/video-slicing.ts";
export { VideoTranscodePipeline, type VideoTranscodePipelineArgs } from "./constructs/video-transcode-pipeline.ts";
export * from "./parts/index.ts";
export { type Columns, type Sql, type SqlOptions, sql } from "./shared/mapreduce/sql.ts";
export { formatProblem, type Problem, ProblemsError } from "./shared/problem.ts";
