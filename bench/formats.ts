/**
 * One file to mp4, mov, flv, avi and m3u8 (H.264, AAC): through `VideoTranscodePipeline`, which encodes once and
 * remuxes, beside five encodes by bare ffmpeg.
 *
 * The five encodes have the very arguments the pipeline uses for each format alone (read from its runs' logs): same
 * codecs, preset, quality, pixel format, bitrate of the sound. They run one after the other, since each uses all cores.
 * Ours is from the first byte of the upload to the run's end, as in `transcode`.
 */
import type { FORMAT_FACTS } from "../lib/shared/video/formats.ts";
import type { Bench, BenchOptions, BenchResult } from "./bench.ts";
import { alternate, medianOf } from "./measure.ts";
import { argsAlone, bareFfmpeg, renderArgs, upload, withPipelines } from "./pipeline.ts";
import { sampleVideo } from "./samples.ts";

const FORMATS = ["mp4", "mov", "flv", "avi", "m3u8"] as const satisfies readonly (keyof typeof FORMAT_FACTS)[];
const LEAST_FEWER = 4.5;

export const bench: Bench = { title: `${FORMATS.join(", ")} of one video, and by five encodes`, run };

async function run({ runs, quick, say }: BenchOptions): Promise<BenchResult> {
  const file = quick ? await sampleVideo("640x360", 6) : await sampleVideo("1280x720", 30);
  const alone: (readonly string[])[] = [];
  await withPipelines(async (session) => {
    for (const format of FORMATS) alone.push(await argsAlone(session, file, format));
  });
  const samples = await alternate(
    { five: () => bareFfmpeg(file, alone), ours: () => withPipelines((session) => upload(session, "five", file)) },
    runs,
    (name, round, { wall, cpu }) => say(`${round} ${name} ${wall.toFixed(2)} s, ${cpu.toFixed(2)} CPU-s`),
  );
  const figure = (what: string, field: "wall" | "cpu") => ({
    what,
    peer: { name: "five encodes", value: medianOf(samples.five, (sample) => sample[field]) },
    ours: medianOf(samples.ours, (sample) => sample[field]),
    ratio: "under" as const,
  });
  return {
    figures: [{ ...figure("CPU seconds", "cpu"), goal: { atLeast: LEAST_FEWER } }, figure("wall seconds", "wall")],
    notes: alone.map(renderArgs),
    samples,
  };
}
