import type { ComponentResourceOptions } from "@pulumi/pulumi";
import type { Handlers } from "../handlers/index.ts";
import type { TranscodeSettings } from "../handlers/video/settings.ts";
import { isSame, prefixProblems } from "../parts/bucket.ts";
import {
  type AlarmArgs,
  alarmsFor,
  all,
  type Bucket,
  Construct,
  type ConstructArgs,
  created,
  type Hook,
  type Machine,
  type Monitor,
  type Queue,
  read,
  received,
  remove,
  start,
  submit,
  type TaskBehavior,
  type TaskPart,
  type Workflow,
  write,
} from "../parts/index.ts";
import { MACHINE_OPTIONS } from "../parts/machine.ts";
import { BEHAVIOR_OPTIONS } from "../parts/task.ts";
import type { Duration } from "../shared/duration.ts";
import { type Problem, unknownOptions, unless } from "../shared/problem.ts";
import type { Size } from "../shared/size.ts";
import { effectiveRenditions } from "../shared/video/effective-renditions.ts";
import { FORMATS, type Format } from "../shared/video/formats.ts";
import type { RenditionSpec } from "../shared/video/rendition-spec.ts";
import {
  type SlicedInput,
  type SliceSteps,
  type Slicing,
  type SlicingPlan,
  slicedSteps,
  slicingOf,
} from "./video-slicing.ts";

export type { Slicing };

/** Settings of {@link VideoTranscodePipeline}. */
export interface VideoTranscodePipelineArgs extends ConstructArgs, AlarmArgs, TaskBehavior, Machine {
  /** What is made of every video, unless a request names its own. @default ["mp4"] */
  readonly formats?: readonly RenditionSpec[];
  /** What a request's `dst_format` may name. @default every format */
  readonly accepts?: readonly Format[];
  /** A bucket you have: videos put there are transcoded. @default a new one */
  readonly uploads?: Bucket;
  /** A bucket you have for what is made; it may be the uploads bucket, with prefixes apart. @default a new one */
  readonly outputs?: Bucket;
  /** Uploads whose key begins so start runs. @default every upload */
  readonly prefix?: string;
  /** Uploads whose key ends in one of these start runs; upper and lower case differ. @default every upload */
  readonly suffixes?: readonly `.${string}`[];
  /** Put before the key of everything made. @default nothing */
  readonly outputPrefix?: string;
  /** Longest time of one attempt, up to 24 hours. @default "2 hours" */
  readonly timeout?: Duration;
  /** @default "4 GB" */
  readonly memory?: Size;
  /** Must hold a video and all that is made of it. @default "10 GB" */
  readonly disk?: Size;
  /** @default 2 */
  readonly cpu?: number;
  /** Your code, called after every success, for example to update a database. @default nothing is called */
  readonly after?: Hook;
  /**
   * Large videos in slices: cut at key frames, encoded all at once, joined, and checked. It needs workflows, which not
   * every cloud has yet. Images, clips and sound alone are made as without; so is what a client submits, and what can't
   * be cut.
   *
   * @default "never"
   */
  readonly slices?: Slicing | "always" | "never";
}

/**
 * Makes renditions of every video put into a bucket, or asked for by a message or a call
 * (`{ "object": "in/a.mov", "output_dir": "out", "dst_format": "mp4,webm" }`).
 *
 *     uploads  ──created──┐
 *     requests ──message──┼─▶ dispatch ─▶ transcode ─┬─▶ outputs, after, onSuccess
 *     submit   ───────────┘                          └─▶ failures, onFailure
 *
 * With `slices`, a large video takes another way to the same run of the same task, which tells the same:
 *
 *     dispatch ─▶ plan ─┬─▶ slice, slice, … ─┬─▶ transcode joins them ─▶ clean
 *                       └─▶ sound ───────────┘
 *
 * One that fails is tried again alone. When that does not help it is the failure of the run's first attempt; the next
 * ones, also by `retry`, make the video in one piece.
 *
 * @example
 * const videos = new VideoTranscodePipeline("videos", {
 *   cloud,
 *   formats: ["mp4", "m3u8", { format: "jpeg", every: "10 seconds" }],
 * });
 * export const uploadTo = videos.uploads.address;
 */
export class VideoTranscodePipeline extends Construct {
  /** Put videos here. */
  readonly uploads: Bucket;
  /** What was made: `<upload's key>/<name>.<format>`, or where the request said. */
  readonly outputs: Bucket;
  /** Send requests here, as JSON. */
  readonly requests: Queue;
  /** Requests that no run could be made of, as they were sent. */
  readonly deadLetters: Queue;
  /** One envelope for every run that failed, was stopped or expired. */
  readonly failures: Queue;
  /** Submit to it by `TaskClient`, or link it: `submit(videos.runs)`. */
  readonly runs: TaskPart;
  /** Alarms on the first failure, and on requests that pile up. */
  readonly alarms: Monitor;
  /** Makes large videos in slices, each in a run with the id that its run of the task will have; absent without `slices`. */
  readonly sliced?: Workflow;

  constructor(name: string, args: VideoTranscodePipelineArgs = {}, opts?: ComponentResourceOptions) {
    super("VideoTranscodePipeline", name, args, opts);

    this.uploads = args.uploads ?? this.bucket("uploads");
    this.outputs = args.outputs ?? this.bucket("outputs");
    this.deadLetters = this.queue("dead-letters");
    this.requests = this.queue("requests", { deadLetters: this.deadLetters, visibility: REQUEST_VISIBILITY });
    this.failures = this.queue("failures");
    const { settings, problems } = settingsOf(name, args, this.uploads, this.outputs);
    const { slicing, problems: slicingProblems } = slicingOf(`${name}.slices`, args.slices);
    const work = slicing && this.bucket("work", { expires: WORK_EXPIRES, removable: true });
    const sources = [...uploadSources(this.uploads, args), received(this.requests)];
    this.runs = this.task<Handlers["video/transcode"]>("transcode", {
      ...behaviorOf(args),
      handler: "video/transcode",
      ...(!slicing && { when: sources }),
      links: { uploads: read(this.uploads), outputs: write(this.outputs), ...(work && { work: read(work) }) },
      settings,
      tools: ["ffmpeg", "ffprobe"],
      dispatch: { handler: "video/dispatch", links: { uploads: read(this.uploads) }, settings: { ...settings } },
      onSuccess: [...(args.after ? [args.after] : []), ...[args.onSuccess ?? []].flat()],
      onFailure: [this.failures, ...[args.onFailure ?? []].flat()],
    });
    if (slicing && work) {
      this.sliced = this.#sliced(slicing, work, settings, machineOf(args));
      this.function<Handlers["video/dispatch"]>("dispatch", {
        handler: "video/dispatch",
        when: sources,
        links: { uploads: read(this.uploads), task: submit(this.runs), sliced: start(this.sliced) },
        settings: { ...settings, slices: { over: slicing.over } },
      });
    }
    this.alarms = this.monitor(
      "alarms",
      alarmsFor(args, [
        { part: this.runs, metric: "failures", above: 0 },
        { part: this.deadLetters, metric: "messages", above: 0 },
      ]),
    );

    this.build([...problems, ...slicingProblems]);
  }

  /** The steps of a run in slices. What they hand on is small: all else lies in the work bucket, under the run's id. */
  #sliced({ cut, timeout }: SlicingPlan, work: Bucket, settings: TranscodeSettings, machine: Machine): Workflow {
    const tools = { ...machine, timeout, tools: ["ffmpeg", "ffprobe"] };
    const uploads = read(this.uploads);
    const steps: SliceSteps = {
      plan: this.function<Handlers["video/slices/plan"]>("plan", {
        ...{ handler: "video/slices/plan", ...tools },
        links: { uploads, work: write(work) },
        settings: { ...settings, cut },
      }),
      encode: this.function<Handlers["video/slices/encode"]>("slice", {
        ...{ handler: "video/slices/encode", ...tools },
        links: { uploads, work: all(read(work), write(work)) },
      }),
      sound: this.function<Handlers["video/slices/sound"]>("sound", {
        ...{ handler: "video/slices/sound", ...tools },
        links: { uploads, work: all(read(work), write(work)) },
      }),
      fail: this.function<Handlers["video/slices/fail"]>("slices-failed", {
        handler: "video/slices/fail",
        links: { work: write(work) },
      }),
      clean: this.function<Handlers["video/slices/clean"]>("clean", {
        handler: "video/slices/clean",
        timeout: "5 minutes",
        links: { work: all(read(work), remove(work)) },
      }),
    };
    return this.workflow<SlicedInput>("sliced", {
      timeout: SLICED_TIMEOUT,
      steps: (flow, input) => slicedSteps(flow, input, steps, this.runs, cut.atMost),
    });
  }
}

/** Longer than any run: what is left then was put by an attempt that nobody waited for. */
const WORK_EXPIRES = "7 days";
/** Of the steps and of all attempts of the task. */
const SLICED_TIMEOUT = "5 days";

/** Six times what the dispatcher may take. https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html */
const REQUEST_VISIBILITY = "6 minutes";

/** What steps that run ffmpeg need of the machine: as much as the task. */
const machineOf = ({ memory = "4 GB", disk = "10 GB", cpu = 2 }: VideoTranscodePipelineArgs): Machine => ({
  ...{ memory, disk, cpu },
});

/** How the task behaves: what the user says, with defaults that suit ffmpeg. */
function behaviorOf({
  timeout = "2 hours",
  memory = "4 GB",
  disk = "10 GB",
  cpu = 2,
  grace,
  attempts,
  backoff,
  concurrency,
  expires,
  retention,
}: VideoTranscodePipelineArgs) {
  return {
    ...{ timeout, memory, disk, cpu },
    ...(grace !== undefined && { grace }),
    ...(attempts !== undefined && { attempts }),
    ...(backoff !== undefined && { backoff }),
    ...(concurrency !== undefined && { concurrency }),
    ...(expires !== undefined && { expires }),
    ...(retention !== undefined && { retention }),
  };
}

/** A source has one ending: several endings are several sources. */
const uploadSources = (uploads: Bucket, { prefix = "", suffixes = [] }: VideoTranscodePipelineArgs) =>
  suffixes.length === 0
    ? [created(uploads, { prefix })]
    : suffixes.map((suffix) => created(uploads, { prefix, suffix }));

/** The settings the functions get, and all that is wrong with what was given. */
function settingsOf(name: string, args: VideoTranscodePipelineArgs, uploads: Bucket, outputs: Bucket) {
  const { formats = ["mp4"], accepts = FORMATS, prefix = "", suffixes = [], outputPrefix = "" } = args;
  const { renditions, problems } = effectiveRenditions(formats, `${name}.formats`);
  const isOne = isSame(uploads, outputs);
  const settings = { renditions, accepts, outputPrefix, ...(isOne && { trigger: { prefix, suffixes } }) };
  const more: Problem[] = [
    ...unknownOptions(name, args, OPTIONS),
    ...unless(formats.length > 0, {
      path: `${name}.formats`,
      message: "name at least one",
      allowed: FORMATS.join(", "),
    }),
    ...unless(accepts.length > 0, {
      path: `${name}.accepts`,
      message: "name at least one",
      allowed: FORMATS.join(", "),
    }),
    ...accepts.flatMap((format, index) =>
      unless(FORMATS.includes(format), {
        path: `${name}.accepts[${index}]`,
        message: "there is no such format",
        given: format,
        allowed: FORMATS.join(", "),
      }),
    ),
    ...unless(!(isOne && outputPrefix.startsWith(prefix)), {
      path: `${name}.outputPrefix`,
      message: `uploads and outputs are one bucket: what is made under "${outputPrefix}" would start runs again, since uploads under "${prefix}" do`,
      given: outputPrefix,
      allowed: 'a prefix outside the trigger\'s, such as prefix: "in/" and outputPrefix: "out/"',
    }),
    ...prefixProblems(`${name}.prefix`, prefix),
    ...prefixProblems(`${name}.outputPrefix`, outputPrefix),
    ...suffixes.flatMap((suffix, index) =>
      unless(/^\.[^/]+$/.test(suffix), {
        path: `${name}.suffixes[${index}]`,
        message: "an ending begins with a dot",
        given: suffix,
        allowed: 'such as ".mp4"',
      }),
    ),
  ];
  return { settings, problems: [...problems, ...more] };
}

const OPTIONS = {
  cloud: true,
  id: true,
  notify: true,
  formats: true,
  accepts: true,
  uploads: true,
  outputs: true,
  prefix: true,
  suffixes: true,
  outputPrefix: true,
  ...BEHAVIOR_OPTIONS,
  after: true,
  slices: true,
  ...MACHINE_OPTIONS,
} satisfies Readonly<Record<keyof VideoTranscodePipelineArgs, true>>;
