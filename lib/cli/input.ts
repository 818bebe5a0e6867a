import { readFile } from "node:fs/promises";
import { UsageError } from "./exit.ts";
import type { Terminal } from "./terminal.ts";

/** A text as it is given: itself, `@file`, or `-` for standard input. */
export async function readText(given: string, terminal: Terminal): Promise<string> {
  if (given === "-") return terminal.readInput();
  return given.startsWith("@") ? readFile(given.slice(1), "utf8") : given;
}

/**
 * A payload as it is given: JSON, `@file`, or `-` for standard input; nothing is `null`.
 *
 * @throws UsageError if it is no JSON.
 */
export async function readPayload(
  given: string | undefined,
  terminal: Terminal,
  word: "payload" | "input" | "output" = "payload",
): Promise<unknown> {
  if (given === undefined) return null;
  const text = await readText(given, terminal);
  try {
    return JSON.parse(text);
  } catch (error) {
    const from = given === "-" ? "standard input" : given.startsWith("@") ? given.slice(1) : word;
    throw new UsageError(`${from} is no JSON: ${(error as Error).message}; quote it for the shell, or use @file or -`);
  }
}
