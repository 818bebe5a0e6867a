import { CommanderError } from "commander";
import { MillraceError } from "../runtime/errors.ts";

/** How the process ends: what scripts look at. */
export const EXIT = { ok: 0, failed: 1, usage: 2, interrupted: 130 } as const;

/** The command was not written as it must be; nothing was done. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** The exit code an error stands for. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  return error instanceof UsageError ? EXIT.usage : EXIT.failed;
}

/** An error for people: what it says; where it came from only when asked. */
export function describeError(error: unknown, isDebug: boolean): string {
  if (!(error instanceof Error)) return String(error);
  if (isDebug) return error.stack ?? error.message;
  const { code, path } = error as NodeJS.ErrnoException;
  if (error instanceof MillraceError || path === undefined) return error.message;
  return `${path}: ${FILE_ERRORS[code ?? ""] ?? error.message}`;
}

const FILE_ERRORS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  EACCES: "not allowed to open it",
  EISDIR: "it is a folder",
  ENOTDIR: "a part of this path is no folder",
  ENOSPC: "the disk is full",
};
