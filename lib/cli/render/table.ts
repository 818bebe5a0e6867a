import Table from "cli-table3";
import type { Terminal } from "../terminal.ts";

const BORDERLESS = Object.fromEntries(
  ["top", "bottom"]
    .flatMap((edge) => [edge, `${edge}-mid`, `${edge}-left`, `${edge}-right`])
    .concat(["left", "left-mid", "mid", "mid-mid", "right", "right-mid", "middle"])
    .map((piece) => [piece, ""]),
);

/** Rows under a head, in columns two spaces apart; lines of a terminal are not wrapped but cut. */
export function renderTable(head: readonly string[], rows: readonly (readonly string[])[], terminal: Terminal): string {
  const { bold } = terminal.colors;
  const table = new Table({
    head: head.map((title) => bold(title)),
    chars: BORDERLESS,
    style: { head: [], border: [], "padding-left": 0, "padding-right": 2 },
  });
  table.push(...rows.map((row) => [...row]));
  return table
    .toString()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n");
}
