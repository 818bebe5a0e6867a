import { isAbsolute } from "node:path";
import { fileURLToPath } from "node:url";
import type { CodePlan } from "./plan.ts";

declare const module: unique symbol;

/** A user's file, typed by its module; bundled with the handler that calls it. */
export interface Code<Module = unknown> {
  /** An absolute path. */
  readonly file: string;
  readonly [module]?: Module;
}

/**
 * Names a file of yours whose exports run in the cloud.
 *
 * @param file a URL or an absolute path; a relative one is refused, because nobody could say relative to what.
 * @example
 * code<typeof import("./resize.ts")>(new URL("./resize.ts", import.meta.url));
 */
export function code<Module>(file: URL | string): Code<Module> {
  const path = file instanceof URL || file.startsWith("file:") ? fileURLToPath(file) : file;
  if (!isAbsolute(path)) {
    throw new Error(
      `code: a file is given by URL or absolute path, such as new URL("./resize.ts", import.meta.url), got "${path}"`,
    );
  }
  return { file: path };
}

/** Code as the plan writes it. */
export const toCodePlan = (handler: string | Code): CodePlan =>
  typeof handler === "string" ? { id: handler } : { file: handler.file };
