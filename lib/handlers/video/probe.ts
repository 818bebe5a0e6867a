import { MillraceError } from "../../runtime/errors.ts";
import type { InputAddress } from "./input-options.ts";
import type { ProbeOutput } from "./source.ts";
import { runTool } from "./tool.ts";

/** Where ffprobe is, and what it works on. */
export interface ProbeOptions {
  readonly ffprobe: string;
  readonly cwd: string;
  readonly signal: AbortSignal;
}

/**
 * What ffprobe says of a video.
 *
 * @throws `bad-input` if it is no video or sound that can be read.
 */
export async function probe({ safety, url }: InputAddress, options: ProbeOptions): Promise<ProbeOutput> {
  const { ffprobe, cwd, signal } = options;
  const output: string[] = [];
  const errors: string[] = [];
  const wanted = ["-v", "error", "-show_format", "-show_streams", "-of", "json"];
  const code = await runTool(ffprobe, [...wanted, ...safety, url], {
    cwd,
    signal,
    onOutput: (line) => output.push(line),
    onError: (line) => errors.push(line),
  });
  if (code !== 0) throw new MillraceError("bad-input", `is no video: ${reasonOf(errors)}`);
  return JSON.parse(output.join("\n")) as ProbeOutput;
}

function reasonOf(errors: readonly string[]): string {
  if (errors.some((line) => line.includes("not on whitelist")))
    return "a list of other files or addresses, or a format that is not taken";
  const said = errors.map((line) => line.replace(/^\[[^\]]*\] /, "").replace(/^(file|http):\S+: /, ""));
  return [...new Set(said)].slice(-2).join("; ") || "ffprobe can't read it";
}
