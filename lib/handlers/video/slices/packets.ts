import { MillraceError } from "../../../runtime/errors.ts";
import type { InputAddress } from "../input-options.ts";
import type { ProbeOptions } from "../probe.ts";
import { runTool } from "../tool.ts";

/** One packet of a stream, as its container tells of it. Times are seconds; `NaN` where it does not say. */
export interface Packet {
  readonly pts: number;
  readonly dts: number;
  readonly duration: number;
  readonly isKey: boolean;
  /** False where an edit list hides it. */
  readonly isShown: boolean;
}

/**
 * Every packet of a stream, in the order they lie in the file. Nothing is decoded.
 *
 * @param stream as ffprobe names it: its number, `v:0`, `a:0`
 */
export async function scanPackets(
  { safety, url }: InputAddress,
  stream: string,
  onPacket: (packet: Packet) => void,
  { ffprobe, cwd, signal }: ProbeOptions,
): Promise<void> {
  const entries = "packet=pts_time,dts_time,duration_time,flags";
  const args = ["-v", "error", "-select_streams", stream, "-show_entries", entries, "-of", "compact=p=0"];
  const errors: string[] = [];
  const code = await runTool(ffprobe, [...args, ...safety, url], {
    cwd,
    signal,
    onOutput: (line) => {
      if (line !== "") onPacket(toPacket(line));
    },
    onError: (line) => errors.push(line),
  });
  if (code !== 0) throw new MillraceError("bad-input", `is no video: ${errors.slice(-2).join("; ")}`);
}

/** `pts_time=1.04|dts_time=0.96|duration_time=0.04|flags=K__`; what follows is of the packet's side data. */
function toPacket(line: string): Packet {
  const fields = new Map(line.split("|").map((field) => field.split("=", 2) as [string, string]));
  const time = (name: string) => Number.parseFloat(fields.get(name) ?? "");
  const flags = fields.get("flags") ?? "";
  return {
    pts: time("pts_time"),
    dts: time("dts_time"),
    duration: time("duration_time"),
    isKey: flags.includes("K"),
    isShown: !flags.includes("D"),
  };
}
