import { type ErrorRecord, isErrorKind } from "../../../runtime/errors.ts";

/**
 * The error to throw so that a caller gets the same kind of error: Lambda tells of an error's name, message and stack.
 *
 * @see https://docs.aws.amazon.com/lambda/latest/dg/nodejs-exceptions.html
 */
export function toThrown({ kind, message, stack }: ErrorRecord): Error {
  const error = new Error(message);
  error.name = kind;
  if (stack !== undefined) error.stack = stack;
  return error;
}

/** What a failed function answers: the error that was thrown, or the service's own words for what ended it. */
export function readThrown(functionError: string, text: string): ErrorRecord {
  const { errorType, errorMessage } = errorIn(text);
  const message = errorMessage || text || functionError;
  if (isErrorKind(errorType)) return { kind: errorType, message };
  if (errorType === "Sandbox.Timedout" || /Task timed out after/.test(message)) return { kind: "timed-out", message };
  return { kind: "failed", message: errorType === undefined ? message : `${errorType}: ${message}` };
}

interface FunctionError {
  readonly errorType?: string;
  readonly errorMessage?: string;
}

function errorIn(text: string): FunctionError {
  try {
    return (JSON.parse(text) as FunctionError | null) ?? {};
  } catch {
    return {};
  }
}
