import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Stack } from "./cluster.ts";

/** A keeper in a process of its own, as in its pod. */
export class KeeperProcess {
  readonly #child: ChildProcess;
  readonly #folder: string;
  /** What it has printed. */
  output = "";

  private constructor(child: ChildProcess, folder: string) {
    this.#child = child;
    this.#folder = folder;
    for (const stream of [child.stdout, child.stderr])
      stream?.on("data", (bytes: Buffer) => {
        this.output += bytes.toString();
      });
  }

  static async start(
    stack: Stack,
    task: string,
    variables: Readonly<Record<string, string>> = {},
  ): Promise<KeeperProcess> {
    const folder = mkdtempSync(join(tmpdir(), "millrace-keeper-"));
    writeFileSync(join(folder, "token"), await stack.token("keeper"));
    writeFileSync(join(folder, "ca.crt"), stack.cluster.ca);
    const child = spawn(process.execPath, [stack.cluster.programs.keeper], {
      env: { PATH: process.env.PATH, ...stack.keeperEnvironment(task), SERVICE_ACCOUNT: folder, ...variables },
      stdio: ["ignore", "pipe", "pipe"],
    });
    return new KeeperProcess(child, folder);
  }

  /** Its exit code; nothing if a signal ended it. */
  async end(signal: NodeJS.Signals): Promise<number | null> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exit = new Promise((resolve) => this.#child.once("exit", resolve));
      this.#child.kill(signal);
      await exit;
    }
    rmSync(this.#folder, { recursive: true, force: true });
    return this.#child.exitCode;
  }
}
