import { stripVTControlCharacters } from "node:util";

/** Text of unknown origin (keys, messages, payloads) for a terminal: no control character reaches it. */
export const plain = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  stripVTControlCharacters(text).replace(/[\u0000-\u001f\u007f-\u009f]/g, (character) =>
    character === "\t" ? " " : character === "\n" ? "⏎" : "�",
  );

/** Cut to that many characters, with an ellipsis if something is gone. */
export function clip(text: string, length: number): string {
  const characters = [...text];
  return characters.length <= length ? text : `${characters.slice(0, Math.max(0, length - 1)).join("")}…`;
}

/** `1 run`, `2 runs`. */
export const count = (amount: number, noun: string): string => `${amount} ${noun}${amount === 1 ? "" : "s"}`;

/** A value as JSON over lines of its own, moved in. */
export const indentJson = (value: unknown): string =>
  JSON.stringify(value, null, 2)
    .split("\n")
    .map((line) => `  ${plain(line)}`)
    .join("\n");
