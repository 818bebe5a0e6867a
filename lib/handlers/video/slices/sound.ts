import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { FunctionInvoked } from "../../../runtime/events.ts";
import type { Handler } from "../../../runtime/handler.ts";
import type { Sound } from "../../../shared/video/rendition.ts";
import { soundArgs } from "../encode-plan.ts";
import { explain } from "../explain.ts";
import { runFfmpeg } from "../ffmpeg.ts";
import type { InputAddress } from "../input-options.ts";
import type { Source } from "../source.ts";
import { withSource } from "../source-server.ts";
import { toolOf } from "../tool.ts";
import type { EncodeLinks } from "./encode.ts";
import { type Manifest, manifestKey, readJson, soundKey } from "./manifest.ts";

/** Which run's sound. */
export interface SoundPayload {
  readonly run: string;
}

/** How many sounds there are; all else is in the work bucket. */
export interface SoundResult {
  readonly sounds: number;
}

/** Encodes the sound whole, in every way that is wanted, from one decode: in slices it would have gaps. */
export const handler: Handler<FunctionInvoked<SoundPayload>, EncodeLinks, unknown, SoundResult> = async (
  { payload: { run } },
  { links, tools, signal, scratch, run: step },
) => {
  const { object, etag, source, sounds } = await readJson<Manifest>(links.work, manifestKey(run));
  if (!source.audio || sounds.length === 0) return { sounds: 0 };
  try {
    const folder = join(scratch, "work");
    await mkdir(folder);
    await withSource({ object, etag }, links.uploads, ({ input }) =>
      runFfmpeg(soundsArgs(input, source, sounds), {
        ...{ ffmpeg: toolOf(tools, "ffmpeg"), cwd: folder, signal },
        ...(source.duration !== undefined && { duration: source.duration }),
        onProgress: (fraction) => step.progress(fraction, "encoding the sound"),
      }),
    );
    for (const [index, sound] of sounds.entries())
      await links.work.putFile(soundKey(run, index), join(folder, soundFile(index, sound)));
    return { sounds: sounds.length };
  } catch (error) {
    throw explain(error, object);
  }
};

const soundFile = (index: number, { codec }: Sound): string => `sound-${index}.${containerOf(codec)}`;
const containerOf = (codec: Sound["codec"]): string => (codec === "opus" ? "webm" : "mp4");

const soundsArgs = ({ safety, url }: InputAddress, { audio }: Source, sounds: readonly Sound[]): readonly string[] => [
  ...[...safety, "-i", url],
  ...sounds.flatMap((sound, index) => [
    ...soundArgs(sound, audio),
    ...["-vn", "-f", containerOf(sound.codec), `file:${soundFile(index, sound)}`],
  ]),
];
