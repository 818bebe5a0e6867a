import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const BIN = fileURLToPath(new URL("../../bin/millrace.js", import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** The script to run in place of the bin. */
  readonly script?: string;
  readonly node?: string;
  readonly onStart?: (child: ChildProcess) => void;
  /** Called with all that was printed so far, and the process. */
  readonly onOutput?: (text: string, child: ChildProcess) => void;
}

/** Runs the real command in a process of its own. */
export function millrace(words: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const { cwd, input = "", env = {}, script = BIN, node = process.execPath, onStart, onOutput } = options;
  const child = spawn(node, [script, ...words], { cwd, env: { ...process.env, ...env } });
  onStart?.(child);
  const printed = { out: "", err: "" };
  for (const [name, stream] of [
    ["out", child.stdout],
    ["err", child.stderr],
  ] as const) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      printed[name] += text;
      onOutput?.(printed.out + printed.err, child);
    });
  }
  child.stdin.on("error", () => {}).end(input);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, ...printed }));
  });
}
