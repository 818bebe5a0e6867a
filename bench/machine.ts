import { execFileSync } from "node:child_process";
import { availableParallelism, cpus, loadavg, tmpdir, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import { findTool } from "../lib/clouds/local/host/tools.ts";

/** The repository. */
export const PROJECT = fileURLToPath(new URL("..", import.meta.url));

/** What the figures were measured on. */
export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryGb: number;
  readonly node: string;
  readonly ffmpeg: string;
  readonly commit: string;
  /** Processes that wanted to run in the minute before: well under one on a quiet machine. */
  readonly load: number;
}

/** Looks at the machine; what is not there is said so. */
export async function describeMachine(): Promise<Machine> {
  return {
    processor: cpus()[0]?.model ?? "unknown",
    cores: availableParallelism(),
    memoryGb: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    ffmpeg: await ffmpegTool().then(
      ({ version }) => version,
      () => "none",
    ),
    commit: commit(),
    load: loadavg()[0]!,
  };
}

/** The ffmpeg the local cloud itself would take: `MILLRACE_FFMPEG`, else the PATH's, else npm's. */
export const ffmpegTool = () => findTool("ffmpeg", { environment: process.env, project: PROJECT, cache: tmpdir() });

function commit(): string {
  try {
    return execFileSync("git", ["describe", "--always", "--dirty"], { cwd: PROJECT, encoding: "utf8" }).trim();
  } catch {
    return "unknown";
  }
}
