/**
 * One 120 s 720p H.264/AAC file to mp4 in slices, beside bare ffmpeg in one piece, on the same processors.
 *
 * The peer is the same ffmpeg with exactly the arguments that the pipeline logged when it made the file in one piece.
 * Ours is everything from the first byte of the upload to the end of the task's run: the event, the workflow, the scan of
 * all packets, a cold start for each slice that runs beside others, the encodes, joining and checking. Slices at once
 * share the processors with each other, so that this is what slicing costs, not what it saves.
 */
import type { Bench, BenchOptions, BenchResult } from "./bench.ts";
import { alternate, medianOf } from "./measure.ts";
import { bareFfmpeg, renderArgs, upload, withPipelines } from "./pipeline.ts";
import { sampleVideo } from "./samples.ts";

const MOST_CPU = 1.03;
const MOST_WALL = 1.05;

export const bench: Bench = { title: "one video to mp4 in slices, and by bare ffmpeg in one piece", run };

async function run({ runs, quick, say }: BenchOptions): Promise<BenchResult> {
  const file = quick ? await sampleVideo("320x180", 60) : await sampleVideo("1280x720", 120);
  const { steps } = (await withPipelines((session) => upload(session, "one", file), "sliced.ts")).value;
  const ours = () => withPipelines((session) => upload(session, "sliced", file), "sliced.ts");
  const samples = await alternate({ ffmpeg: () => bareFfmpeg(file, steps), ours }, runs, (name, round, { wall, cpu }) =>
    say(`${round} ${name} ${wall.toFixed(2)} s, ${cpu.toFixed(2)} CPU-s`),
  );
  const figure = (what: string, field: "wall" | "cpu", atMost: number) => ({
    what,
    peer: { name: "ffmpeg", value: medianOf(samples.ffmpeg, (sample) => sample[field]) },
    ours: medianOf(samples.ours, (sample) => sample[field]),
    goal: { atMost },
  });
  return {
    figures: [figure("wall seconds", "wall", MOST_WALL), figure("CPU seconds", "cpu", MOST_CPU)],
    notes: steps.map(renderArgs),
    samples,
  };
}
