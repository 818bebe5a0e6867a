import type { Format } from "../../shared/video/formats.ts";
import type { Rendition } from "../../shared/video/rendition.ts";

/** The pipeline's effective settings, as plain JSON: baked into its functions and hashed into the runs' ids. */
export interface TranscodeSettings {
  /** What is made when a request names no `dst_format`. */
  readonly renditions: readonly Rendition[];
  /** What `dst_format` may name. */
  readonly accepts: readonly Format[];
  /** Put before every output's key. */
  readonly outputPrefix: string;
  /** What starts runs by upload, where uploads and outputs are one bucket: no output may lie in there. */
  readonly trigger?: Trigger;
}

/** Which keys start a run. */
export interface Trigger {
  readonly prefix: string;
  /** Empty: every ending. */
  readonly suffixes: readonly string[];
}

/** Whether an object of that key would start a run. */
export const isTriggered = ({ prefix, suffixes }: Trigger, key: string): boolean =>
  key.startsWith(prefix) && (suffixes.length === 0 || suffixes.some((suffix) => key.endsWith(suffix)));
