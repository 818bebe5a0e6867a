import { MillraceError } from "../../runtime/errors.ts";
import { shortHash } from "../../shared/name.ts";
import type { Rendition } from "../../shared/video/rendition.ts";
import type { TranscodeRequest } from "./request.ts";
import { isTriggered, type TranscodeSettings } from "./settings.ts";

/** The longest key every cloud's buckets take, bytes. */
const LONGEST_KEY = 1024;

/**
 * Where a rendition goes, without its ending: `<object>/<name>`, `<output_dir>/<stem of the object>`, or the one key
 * asked for. The same request gives the same keys at every attempt, and other objects others.
 */
export function outputBase(
  rendition: Rendition,
  request: TranscodeRequest,
  { outputPrefix }: TranscodeSettings,
): string {
  const { object, renditions, folder, target } = request;
  if (target !== undefined) return `${outputPrefix}${target}`;
  if (folder === undefined) return `${outputPrefix}${object}/${rendition.name}`;
  const isShared = renditions.filter(({ format }) => format === rendition.format).length > 1;
  return `${outputPrefix}${folder}/${stemOf(object)}${isShared ? `-${rendition.name}` : ""}`;
}

const stemOf = (object: string): string =>
  object
    .split("/")
    .at(-1)!
    .replace(/(.)\.[^.]*$/s, "$1");

/**
 * What a playlist's segments are called in its folder: characters that mean the same in a file system and in a URL,
 * since players take the names in a playlist for both.
 */
export function segmentStem(base: string): string {
  const name = base.split("/").at(-1)!;
  const safe = name.replace(/[^A-Za-z0-9_-]+/g, "-").replace(/^-+|-+$/g, "");
  return safe === name ? name : `${safe.slice(0, 60) || "segment"}-${shortHash(name, 8)}`;
}

/** @throws `bad-input` for a key that no bucket takes, or that would start a run of its own. */
export function checkKey(key: string, { trigger }: TranscodeSettings): void {
  if (Buffer.byteLength(key) > LONGEST_KEY)
    throw new MillraceError(
      "bad-input",
      `the output's key is longer than ${LONGEST_KEY} bytes: ${key.slice(0, 80)}…; give an output_dir`,
    );
  if (trigger && isTriggered(trigger, key))
    throw new MillraceError(
      "bad-input",
      `the output ${key} would start a run of its own: uploads under "${trigger.prefix}" do, and both buckets are one`,
    );
}
