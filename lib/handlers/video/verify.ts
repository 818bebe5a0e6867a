import { MillraceError } from "../../runtime/errors.ts";
import type { Rendition } from "../../shared/video/rendition.ts";
import type { Source } from "./source.ts";

/** Containers whose header says how long they last; of others the length is a guess. */
const STATING = ["mov", "matroska", "avi", "flv"];

/** Seconds an output may be shorter or longer than its source: frames of sound and picture never end together. */
const TOLERANCE = 1;

/**
 * Checks an output against its source: the streams that were wanted, and as long as it should be.
 *
 * @throws `bad-input`: a source that says it is longer than it is was cut off or is damaged.
 */
export function verify(rendition: Rendition, made: Source, source: Source): void {
  const { name, format, picture, sound } = rendition;
  const miss = (message: string) => {
    throw new MillraceError("bad-input", `${name}.${format} ${message}`);
  };
  if (picture && !made.video) miss("came out without a picture: none of the source's could be read");
  if (sound && source.audio && !made.audio) miss("came out without sound: none of the source's could be read");
  if (format === "jpeg" || !STATING.some((container) => source.container.split(",").includes(container))) return;
  const pairs = [
    picture && (["picture", source.video?.duration, made.video?.duration ?? made.duration] as const),
    sound && (["sound", source.audio?.duration, made.audio?.duration ?? made.duration] as const),
    ["whole", wholeOf(source), made.duration] as const,
  ];
  for (const pair of pairs) {
    if (!pair) continue;
    const [what, stated, lasts] = pair;
    const wanted = clipped(rendition, stated);
    if (wanted === undefined || lasts === undefined || Math.abs(lasts - wanted) <= TOLERANCE + frames(source)) continue;
    miss(
      `lasts ${lasts.toFixed(2)} s, its ${what} should last ${wanted.toFixed(2)} s: the source is cut off or damaged`,
    );
  }
}

/** The container's own length says something only where the streams say nothing of theirs. */
const wholeOf = ({ video, audio, duration }: Source): number | undefined =>
  video?.duration === undefined && audio?.duration === undefined ? duration : undefined;

const clipped = ({ clip }: Rendition, duration: number | undefined): number | undefined =>
  duration === undefined ? undefined : Math.max(0, Math.min(duration, clip?.end ?? Infinity) - (clip?.start ?? 0));

/** Two frames, which is much where a video has few of them. */
const frames = ({ video }: Source): number => (video ? 2 / video.frameRate : 0);
