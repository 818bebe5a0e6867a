import { MillraceError } from "../../runtime/errors.ts";

const kindOf = (error: unknown): unknown => (error instanceof MillraceError ? error.kind : undefined);

/** What is told of a source that can't be had any more. */
export function explainSource(error: unknown, bucket: string): unknown {
  switch (kindOf(error)) {
    case "not-found":
      return new MillraceError("not-found", `is not in ${bucket}: it was removed before its turn, or never there`);
    case "conflict":
      return new MillraceError(
        "bad-input",
        "was replaced after this run was asked for; the new content gets a run of its own",
      );
    default:
      return error;
  }
}

/** Names the object, and says what a full disk is. */
export function explain(error: unknown, object: string): unknown {
  if (error instanceof MillraceError)
    return isOurs(error) && !error.message.startsWith(`${object}: `)
      ? new MillraceError(error.kind, `${object}: ${error.message}`, { cause: error })
      : error;
  if (error instanceof Error && "code" in error && error.code === "ENOSPC")
    return new MillraceError("unavailable", `${object}: no space left on the disk`, { cause: error });
  return error;
}

/** Whether the error tells of the object; a stop or a timeout does not. */
const isOurs = ({ kind }: MillraceError): boolean =>
  kind === "bad-input" || kind === "not-found" || kind === "failed" || kind === "unavailable";
