/**
 * One 60 s 1080p H.264/AAC file to mp4: through `VideoTranscodePipeline`, beside bare ffmpeg.
 *
 * The peer is the same ffmpeg with exactly the arguments that the pipeline logged for its own calls, writing into a
 * folder. Ours is everything from the first byte of the upload to the run's end, with the output in its bucket: hashing
 * the upload, the event, the dispatcher's and the worker's cold start, probing, ffmpeg, checking what was made, hashing
 * and putting it. Each run of ours is on a local cloud just started; its start is not part of the figure (`dev` is).
 */
import type { Bench, BenchOptions, BenchResult } from "./bench.ts";
import { alternate, medianOf } from "./measure.ts";
import { bareFfmpeg, renderArgs, upload, withPipelines } from "./pipeline.ts";
import { sampleVideo } from "./samples.ts";

const MOST_OVER = 1.03;

export const bench: Bench = { title: "one video to mp4, through the pipeline and by bare ffmpeg", run };

async function run({ runs, quick, say }: BenchOptions): Promise<BenchResult> {
  const file = quick ? await sampleVideo("640x360", 6) : await sampleVideo("1920x1080", 60);
  const ours = () => withPipelines((session) => upload(session, "one", file));
  const { steps } = (await ours()).value;
  const samples = await alternate({ ffmpeg: () => bareFfmpeg(file, steps), ours }, runs, (name, round, { wall, cpu }) =>
    say(`${round} ${name} ${wall.toFixed(2)} s, ${cpu.toFixed(2)} CPU-s`),
  );
  const figure = (what: string, field: "wall" | "cpu") => ({
    what,
    peer: { name: "ffmpeg", value: medianOf(samples.ffmpeg, (sample) => sample[field]) },
    ours: medianOf(samples.ours, (sample) => sample[field]),
    goal: { atMost: MOST_OVER },
  });
  return {
    figures: [figure("wall seconds", "wall"), figure("CPU seconds", "cpu")],
    notes: steps.map(renderArgs),
    samples,
  };
}
