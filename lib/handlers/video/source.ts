/** What is known of a video before work on it starts. Times are seconds. */
export interface Source {
  /** FFmpeg's name of the container: `mov,mp4,m4a,3gp,3g2,mj2`. */
  readonly container: string;
  /** Absent if the container does not say, as in recordings of a browser. */
  readonly duration?: number;
  /** The time that players and ffmpeg take for zero: when the first of its streams starts. */
  readonly start: number;
  readonly video?: VideoStream;
  readonly audio?: AudioStream;
}

export interface VideoStream {
  /** FFmpeg's stream number. */
  readonly index: number;
  readonly codec: string;
  /** As shown: rotated, with square pixels. */
  readonly width: number;
  readonly height: number;
  /** Whether the coded frames have other sizes than are shown, turning aside. */
  readonly isStretched: boolean;
  readonly isInterlaced: boolean;
  /** Frames per second; for a variable rate, the constant one to turn it into. */
  readonly frameRate: number;
  readonly isVariable: boolean;
  /** Frames per second of the grid on which ffmpeg puts the frames it encodes. */
  readonly gridRate: number;
  readonly duration?: number;
}

export interface AudioStream {
  readonly index: number;
  readonly codec: string;
  readonly channels: number;
  /** Hertz. */
  readonly sampleRate: number;
  readonly duration?: number;
}

/** What ffprobe prints with `-show_format -show_streams -of json`, as far as it is read. */
export interface ProbeOutput {
  readonly format?: { readonly format_name?: string; readonly duration?: string; readonly start_time?: string };
  readonly streams?: readonly ProbeStream[];
}

interface ProbeStream {
  readonly index: number;
  readonly codec_type?: string;
  readonly codec_name?: string;
  readonly width?: number;
  readonly height?: number;
  readonly sample_aspect_ratio?: string;
  readonly field_order?: string;
  readonly r_frame_rate?: string;
  readonly avg_frame_rate?: string;
  readonly duration?: string;
  readonly channels?: number;
  readonly sample_rate?: string;
  readonly disposition?: Readonly<Record<string, number>>;
  readonly tags?: Readonly<Record<string, string>>;
  readonly side_data_list?: readonly { readonly rotation?: number }[];
}

/** The first picture and sound that are the film's own: cover art is neither. */
export function toSource({ format = {}, streams = [] }: ProbeOutput): Source {
  const video = preferred(streams.filter((stream) => stream.codec_type === "video" && isFilm(stream)));
  const audio = preferred(streams.filter((stream) => stream.codec_type === "audio" && stream.codec_name !== undefined));
  const duration = toNumber(format.duration);
  return {
    container: format.format_name ?? "",
    ...(duration !== undefined && { duration }),
    start: Number(format.start_time ?? 0) || 0,
    ...(video && { video: toVideo(video) }),
    ...(audio && { audio: toAudio(audio) }),
  };
}

const isFilm = ({ disposition, width = 0, height = 0 }: ProbeStream): boolean =>
  disposition?.attached_pic !== 1 && disposition?.timed_thumbnails !== 1 && width > 0 && height > 0;

const preferred = (streams: readonly ProbeStream[]): ProbeStream | undefined =>
  streams.find(({ disposition }) => disposition?.default === 1) ?? streams[0];

function toVideo(stream: ProbeStream): VideoStream {
  const aspect = toRatio(stream.sample_aspect_ratio, ":") ?? 1;
  const width = Math.round(stream.width! * aspect);
  const height = stream.height!;
  const [shownWidth, shownHeight] = isSideways(stream) ? [height, width] : [width, height];
  const duration = streamDuration(stream);
  return {
    index: stream.index,
    codec: stream.codec_name ?? "unknown",
    width: shownWidth,
    height: shownHeight,
    isStretched: width !== stream.width,
    isInterlaced: ["tt", "bb", "tb", "bt"].includes(stream.field_order ?? ""),
    ...frameRateOf(stream),
    ...(duration !== undefined && { duration }),
  };
}

/** Phones film sideways and note by how much to turn; ffmpeg turns the frames when it encodes. */
function isSideways({ tags, side_data_list = [] }: ProbeStream): boolean {
  const noted = side_data_list.find(({ rotation }) => rotation !== undefined)?.rotation ?? Number(tags?.rotate ?? 0);
  return Math.abs(noted) % 180 === 90;
}

/**
 * `r_frame_rate` is the lowest rate that can show every timestamp, `avg_frame_rate` what there is: they differ where
 * frames come as they like. Such a video gets a constant rate, which every container can hold.
 */
function frameRateOf({
  r_frame_rate,
  avg_frame_rate,
}: ProbeStream): Pick<VideoStream, "frameRate" | "isVariable" | "gridRate"> {
  const lowest = toRatio(r_frame_rate, "/");
  const average = toRatio(avg_frame_rate, "/") ?? lowest;
  const variable = (frameRate: number) => ({ frameRate, isVariable: true, gridRate: frameRate });
  if (lowest === undefined || average === undefined) return variable(30);
  if (lowest <= HIGHEST_RATE && Math.abs(lowest - average) <= average * VARIABLE_ABOVE)
    return { frameRate: average, isVariable: false, gridRate: lowest };
  if (lowest <= HIGHEST_COMMON_RATE) return variable(lowest);
  return variable(average > 31 && average <= HIGHEST_RATE ? HIGHEST_COMMON_RATE : 30);
}
const VARIABLE_ABOVE = 0.01;
/** Slow motion; more than that is the clock's rate, not the camera's: browsers record with 1,000. */
const HIGHEST_RATE = 240;
const HIGHEST_COMMON_RATE = 60;

function toAudio(stream: ProbeStream): AudioStream {
  const duration = streamDuration(stream);
  return {
    index: stream.index,
    codec: stream.codec_name!,
    channels: stream.channels ?? 2,
    sampleRate: toNumber(stream.sample_rate) ?? 48_000,
    ...(duration !== undefined && { duration }),
  };
}

/** Matroska notes a stream's length as a tag: `00:01:02.500000000`. */
function streamDuration({ duration, tags }: ProbeStream): number | undefined {
  const stated = toNumber(duration);
  if (stated !== undefined) return stated;
  const [, hours, minutes, seconds] = /^(\d+):(\d\d):(\d\d(?:\.\d+)?)$/.exec(tags?.DURATION ?? "") ?? [];
  return seconds === undefined ? undefined : Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds);
}

const toNumber = (text: string | undefined): number | undefined => {
  const number = Number(text ?? Number.NaN);
  return Number.isFinite(number) && number > 0 ? number : undefined;
};

function toRatio(text: string | undefined, separator: string): number | undefined {
  const [above = Number.NaN, below = Number.NaN] = (text ?? "").split(separator).map(Number);
  return above > 0 && below > 0 ? above / below : undefined;
}
