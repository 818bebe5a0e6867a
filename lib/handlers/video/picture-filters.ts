import type { Picture, Position, TextWatermark, Watermark } from "../../shared/video/rendition.ts";
import { pictureSize, type Size } from "./picture-size.ts";
import type { VideoStream } from "./source.ts";

/** Names of the files a watermark is made of, in the folder ffmpeg works in. */
export interface WatermarkFiles {
  readonly image?: string;
  readonly font?: string;
  readonly text?: string;
}

/** What leads from the source's frames to the wanted ones. */
export interface PictureFilters {
  /** Inputs beside the source. */
  readonly inputs: readonly string[];
  /** A filter graph from the source's picture to `[v]`; absent: the frames are taken as they are. */
  readonly graph?: string;
  readonly size: Size;
}

/** The filters a picture needs; `after` comes last, such as the palette of a gif. */
export function pictureFilters(
  picture: Picture,
  video: VideoStream,
  files: WatermarkFiles,
  after: readonly string[] = [],
): PictureFilters {
  return drawing(picture, video, files, {
    ...{ from: `[0:${video.index}]`, to: "[v]", image: 1, label: "" },
    ...{ before: framing(picture, video), after },
  });
}

/** Where the frames of a picture come from in a graph, and what it is called there. */
export interface Place {
  /** The graph's links. */
  readonly from: string;
  readonly to: string;
  /** The number of the input with the watermark's image, if there is one. */
  readonly image: number;
  /** Makes the graph's other links unique. */
  readonly label: string;
  readonly before: readonly string[];
  readonly after: readonly string[];
}

/** The filters that make frames look as a picture wants. */
export function drawing(picture: Picture, video: VideoStream, files: WatermarkFiles, place: Place): PictureFilters {
  const { from, to, image, label, after } = place;
  const size = pictureSize(picture, video);
  const before = [...place.before, ...scaling(video, size)];
  const { watermark } = picture;
  if (watermark && "image" in watermark) {
    const chain = [overlay(watermark), ...after].join(",");
    const [p, w] = [`[p${label}]`, `[w${label}]`];
    const graph = `${from}${before.join(",") || "null"}${p};[${image}:0]${stamp(watermark, size)}${w};${p}${w}${chain}${to}`;
    return { inputs: imageInput(files.image!), graph, size };
  }
  const chain = [...before, ...(watermark ? [writing(watermark, size, files)] : []), ...after];
  return { inputs: [], ...(chain.length > 0 && { graph: `${from}${chain.join(",")}${to}` }), size };
}

/** Whole frames, as many a second as are wanted. */
export const framing = (
  { fps }: Pick<Picture, "fps">,
  { isInterlaced, isVariable, frameRate }: VideoStream,
): string[] => [
  ...(isInterlaced ? ["yadif=deint=interlaced"] : []),
  ...(fps !== undefined ? [`fps=${fps}`] : isVariable ? [`fps=${frameRate}`] : []),
];

const scaling = ({ width, height, isStretched }: VideoStream, size: Size): string[] =>
  isStretched || width !== size.width || height !== size.height
    ? [`scale=${size.width}:${size.height}`, "setsar=1"]
    : [];

/** The demuxer is named, so that what is in the file can't choose another one. */
const imageInput = (file: string): string[] => [
  "-protocol_whitelist",
  "file",
  "-f",
  `${imageType(file)}_pipe`,
  "-i",
  `file:${file}`,
];

const imageType = (file: string): string => file.split(".").at(-1)!;

const stamp = ({ size, opacity }: Watermark, picture: Size): string =>
  [
    `scale=-1:${Math.max(2, Math.round((picture.height * size) / 100))}`,
    "format=rgba",
    ...(opacity < 1 ? [`colorchannelmixer=aa=${opacity}`] : []),
  ].join(",");

function overlay({ position }: Watermark): string {
  const { x, y } = place(position, { width: "W", height: "H" }, { width: "w", height: "h" });
  return `overlay=x=${x}:y=${y}`;
}

/** The text lies in a file of its own and is not expanded: nothing in it is ever read as a filter. */
function writing({ size, color, opacity, position }: TextWatermark, picture: Size, files: WatermarkFiles): string {
  const { x, y } = place(position, { width: "w", height: "h" }, { width: "tw", height: "th" });
  const height = Math.max(4, Math.round((picture.height * size) / 100));
  const shadow = Math.max(1, Math.round(height / 20));
  return [
    `drawtext=fontfile=${files.font}:textfile=${files.text}:expansion=none:fontsize=${height}`,
    `fontcolor=${color.replace("#", "0x")}@${opacity}:shadowcolor=black@${opacity / 2}:shadowx=${shadow}:shadowy=${shadow}`,
    `x=${x}:y=${y}`,
  ].join(":");
}

/** A fortieth of the frame's height away from the edges. */
function place(position: Position, frame: { width: string; height: string }, thing: { width: string; height: string }) {
  const margin = `${frame.height}/40`;
  const far = (side: "width" | "height") => `${frame[side]}-${thing[side]}-${margin}`;
  const middle = (side: "width" | "height") => `(${frame[side]}-${thing[side]})/2`;
  return {
    x: position === "center" ? middle("width") : position.endsWith("right") ? far("width") : margin,
    y: position === "center" ? middle("height") : position.startsWith("bottom") ? far("height") : margin,
  };
}
