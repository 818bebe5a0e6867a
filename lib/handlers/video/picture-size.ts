import type { Picture } from "../../shared/video/rendition.ts";
import type { VideoStream } from "./source.ts";

/** Pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/** The size to make: the height asked for but no more than there is, square pixels, even sides. */
export function pictureSize({ height, upscale }: Picture, video: VideoStream): Size {
  const lines = height === undefined || (height > video.height && !upscale) ? video.height : height;
  return { width: even((video.width * lines) / video.height), height: even(lines) };
}

/** Most codecs halve the colour planes: sides must be even. */
const even = (side: number): number => Math.max(2, Math.round(side / 2) * 2);
