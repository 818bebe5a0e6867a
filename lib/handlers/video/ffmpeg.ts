import { MillraceError } from "../../runtime/errors.ts";
import { runTool } from "./tool.ts";

/** One call of ffmpeg. */
export interface FfmpegOptions {
  readonly ffmpeg: string;
  /** Where relative names of files are looked up. */
  readonly cwd: string;
  /** Ends ffmpeg at once. */
  readonly signal: AbortSignal;
  /** Seconds of output to come; without it there is no progress to tell. */
  readonly duration?: number;
  /** 0 to 1. */
  readonly onProgress?: (fraction: number) => void;
}

/** No questions, no banner, warnings only, and progress as `key=value` lines. */
const QUIET = ["-nostdin", "-hide_banner", "-nostats", "-loglevel", "warning", "-progress", "pipe:1", "-y"] as const;

/**
 * Runs ffmpeg.
 *
 * @returns its warnings, the last of them.
 * @throws `bad-input` if the input is broken or cut off, `unavailable` if the disk is full, else `failed`.
 */
export async function runFfmpeg(args: readonly string[], options: FfmpegOptions): Promise<readonly string[]> {
  const { ffmpeg, cwd, signal, duration, onProgress } = options;
  const said = new Said();
  const code = await runTool(ffmpeg, [...QUIET, ...args], {
    cwd,
    signal,
    onOutput: (line) => {
      const time = duration === undefined ? undefined : toTime(line);
      if (time !== undefined) onProgress?.(Math.min(1, time / duration!));
    },
    onError: (line) => said.add(line),
  });
  if (said.isFull) throw new MillraceError("unavailable", "no space left on the disk");
  if (said.isCutOff) throw new MillraceError("bad-input", "is cut off: it ends before its own description says");
  if (code !== 0)
    throw new MillraceError(said.isBadInput ? "bad-input" : "failed", `ffmpeg: ${said.summary || `exit code ${code}`}`);
  return said.lines;
}

/** `out_time=00:00:01.500000`; `out_time=N/A` until there is any. */
function toTime(line: string): number | undefined {
  const [, hours, minutes, seconds] = /^out_time=(\d+):(\d\d):(\d\d(?:\.\d+)?)/.exec(line) ?? [];
  return seconds === undefined ? undefined : Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds);
}

const LINES_KEPT = 40;
const CHARACTERS_KEPT = 500;
const FULL = /No space left on device/;
/** What the demuxers of mp4 and Matroska say where the file ends too early; they carry on, and ffmpeg ends with 0. */
const CUT_OFF = /offset 0x[0-9a-f]+: partial file|File ended prematurely|matroska,webm[^\]]*\] Read error/;
const BAD_INPUT =
  /Invalid data found|moov atom not found|does not contain any stream|[Oo]utput file.*(is empty|does not contain)|Decoder .* not found|Could not find codec parameters|not on whitelist/;

/** What ffmpeg wrote: its last lines, and what any line gave away. */
class Said {
  readonly lines: string[] = [];
  isFull = false;
  isCutOff = false;
  isBadInput = false;

  add(line: string): void {
    this.isFull ||= FULL.test(line);
    this.isCutOff ||= CUT_OFF.test(line);
    this.isBadInput ||= BAD_INPUT.test(line);
    this.lines.push(line.slice(0, CHARACTERS_KEPT));
    if (this.lines.length > LINES_KEPT) this.lines.shift();
  }

  get summary(): string {
    return this.lines.slice(-3).join("; ");
  }
}
