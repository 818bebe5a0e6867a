import { MillraceError } from "../errors.ts";
import type { TaskRow } from "./row.ts";

/** A run's place in lists. */
export type Position = Pick<TaskRow, "sequence" | "id">;

/** Where the next page of a list begins: behind this run. */
export const toCursor = ({ sequence, id }: Position): string =>
  Buffer.from(JSON.stringify([sequence, id])).toString("base64url");

/** @throws `refused` for a text that is no cursor */
export function fromCursor(cursor: string): Position {
  try {
    const [sequence, id] = JSON.parse(Buffer.from(cursor, "base64url").toString()) as [unknown, unknown];
    if (typeof sequence === "number" && typeof id === "string") return { sequence, id };
  } catch {
    // Refused below, like any other text that is no cursor.
  }
  throw new MillraceError("refused", `cursor: must be the \`next\` of a page, got ${JSON.stringify(cursor)}`);
}
