import { createInterface } from "node:readline/promises";
import { buffer, text } from "node:stream/consumers";
import { createLogUpdate } from "log-update";
import pico from "picocolors";

export type Colors = ReturnType<typeof pico.createColors>;

/** Where a command reads and writes. */
export interface Terminal {
  /** Writes a line of the answer to standard output. */
  print(line: string): void;
  /** Writes a line about the answer to standard error. */
  note(line: string): void;
  /** For standard output: does nothing where it is no terminal. */
  readonly colors: Colors;
  /** Whether standard output is a terminal that may be coloured and redrawn. */
  readonly isLive: boolean;
  /** Characters in a line; undefined where it is no terminal. */
  readonly columns: number | undefined;
  /** Lines at the foot of standard error that are redrawn in place; nothing is shown where it is no terminal. */
  live(): Live;
  readInput(): Promise<string>;
  readBytes(): Promise<Buffer>;
  /** Whether there is somebody to ask. */
  readonly canAsk: boolean;
  /** Asks a yes-or-no question; anything but yes is no. */
  confirm(question: string, signal: AbortSignal): Promise<boolean>;
}

export interface Live {
  /** Shows this instead of what was shown. */
  show(text: string): void;
  /** Shows nothing any more. */
  clear(): void;
}

/** The process's own terminal. Colours and redrawing only on a real one, and never with `NO_COLOR`. https://no-color.org */
export function processTerminal({ stdin, stdout, stderr, env }: NodeJS.Process): Terminal {
  const isPlain = Boolean(env.NO_COLOR) || env.TERM === "dumb";
  const isLive = stdout.isTTY === true && !isPlain;
  return {
    print: (line) => void stdout.write(`${line}\n`),
    note: (line) => void stderr.write(`${line}\n`),
    colors: pico.createColors(isLive),
    isLive,
    columns: stdout.isTTY ? stdout.columns : undefined,
    live: () => (stderr.isTTY && !isPlain ? liveOn(stderr) : { show() {}, clear() {} }),
    readInput: () => text(stdin),
    readBytes: () => buffer(stdin),
    canAsk: stdin.isTTY === true && stderr.isTTY === true,
    async confirm(question, signal) {
      const lines = createInterface({ input: stdin, output: stderr, terminal: false });
      try {
        return /^y(es)?$/i.test((await lines.question(`${question} [y/N] `, { signal })).trim());
      } finally {
        lines.close();
      }
    },
  };
}

function liveOn(stream: NodeJS.WriteStream): Live {
  const draw = createLogUpdate(stream);
  let height = 0;
  return {
    show(shown) {
      const next = shown === "" ? 0 : shown.split("\n").length;
      // It redraws only lines that differ, and leaves the rest where it was when one above them goes.
      if (next !== height) draw.clear();
      height = next;
      if (next > 0) draw(shown);
    },
    clear() {
      height = 0;
      draw.clear();
      draw.done();
    },
  };
}
