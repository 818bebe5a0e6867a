import type { ErrorRecord } from "../errors.ts";
import type { TaskStatus } from "./task.ts";

/**
 * What a success or failure destination is told: the envelope Function Compute sends, plus the task.
 * Payloads are JSON texts. https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/result-callback
 */
export interface Envelope {
  /** Milliseconds since 1970. */
  readonly timestamp: number;
  readonly requestContext: {
    /** The attempt's platform id: `<id>--a<n>`. */
    readonly requestId: string;
    /** The task part's name where the platform has no ARN. */
    readonly functionArn: string;
    /** `""` for success; else the error's kind. */
    readonly condition: string;
    readonly approximateInvokeCount: number;
  };
  readonly requestPayload: string | PayloadReference;
  readonly responseContext: { readonly statusCode: number; readonly functionError: string };
  readonly responsePayload: string | PayloadReference;
  readonly task: {
    readonly task: string;
    readonly id: string;
    readonly status: TaskStatus;
    readonly tenant?: string;
    readonly error?: ErrorRecord;
  };
}

/** Stands for a payload too large for a queue's 64 KB: where it lies, and how it begins. */
export interface PayloadReference {
  readonly bucket: string;
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  readonly preview: string;
}
