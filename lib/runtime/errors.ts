/** What went wrong, as one word that every layer and every cloud passes on unchanged. */
export type ErrorKind =
  | "bad-input" // what the caller sent can never work; not retried
  | "failed" // the work failed; retried
  | "timed-out"
  | "stopped"
  | "expired"
  | "interrupted" // the platform went away under the run; retried without using an attempt
  | "not-found"
  | "conflict" // somebody else changed it first
  | "refused" // a permission, a limit, or a rule
  | "unavailable"; // the other side does not answer; retried

/** An error that says its kind. Handlers throw it to say whether a retry can help. */
export class MillraceError extends Error {
  override readonly name = "MillraceError";
  readonly kind: ErrorKind;

  // Not `ErrorOptions`: programs compiled for ES2020, as Pulumi's own template is, do not have that type.
  constructor(kind: ErrorKind, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.kind = kind;
  }
}

/** An error as it travels between processes and lies in a journal. */
export interface ErrorRecord {
  readonly kind: ErrorKind;
  readonly message: string;
  readonly stack?: string;
}

/** What an error is, whatever was thrown. */
export function toErrorRecord(error: unknown): ErrorRecord {
  if (!(error instanceof Error)) return { kind: "failed", message: String(error) };
  const kind = "kind" in error && isErrorKind(error.kind) ? error.kind : "failed";
  return { kind, message: error.message, ...(error.stack !== undefined && { stack: error.stack }) };
}

/** An error that fits into rows and messages, whatever was thrown. */
export const shortened = ({ kind, message, stack }: ErrorRecord): ErrorRecord => ({
  kind,
  message: message.slice(0, 4096),
  ...(stack !== undefined && { stack: stack.slice(0, 8192) }),
});

/** The error a record tells of. */
export function fromErrorRecord({ kind, message, stack }: ErrorRecord): MillraceError {
  const error = new MillraceError(kind, message);
  if (stack !== undefined) error.stack = stack;
  return error;
}

/** Whether trying again can help. */
export const isRetryable = ({ kind }: ErrorRecord): boolean =>
  kind === "failed" || kind === "timed-out" || kind === "interrupted" || kind === "unavailable" || kind === "conflict";

const KINDS: Readonly<Record<ErrorKind, true>> = {
  "bad-input": true,
  failed: true,
  "timed-out": true,
  stopped: true,
  expired: true,
  interrupted: true,
  "not-found": true,
  conflict: true,
  refused: true,
  unavailable: true,
};

/** Whether a word is a kind. */
export const isErrorKind = (kind: unknown): kind is ErrorKind => typeof kind === "string" && Object.hasOwn(KINDS, kind);
