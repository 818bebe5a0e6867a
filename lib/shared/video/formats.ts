/** What the pipeline can make, by the name used in `formats` and `dst_format`. */
export const FORMATS = ["mp4", "mov", "mkv", "webm", "flv", "avi", "m3u8", "mp3", "gif", "jpeg"] as const;

export type Format = (typeof FORMATS)[number];

/** How a picture is coded; `copy` takes the source's streams as they are. */
export const CODECS = ["h264", "hevc", "vp9", "copy"] as const;

export type Codec = (typeof CODECS)[number];

/** What is known of a format before anything is encoded. */
export interface FormatFacts {
  /** FFmpeg's name of the muxer. */
  readonly muxer: string;
  /** What an output is called if nobody names it. */
  readonly stem: string;
  /** Codecs a rendition may ask for, the default first; none: the format has one of its own, or no picture. */
  readonly codecs: readonly Codec[];
  /** Codecs `copy` may find in the source, by FFmpeg's names. */
  readonly copies: { readonly video: readonly string[]; readonly audio: readonly string[] };
}

const ISO_COPIES = {
  video: ["h264", "hevc", "av1", "mpeg4", "mpeg2video"],
  audio: ["aac", "mp3", "ac3", "eac3", "alac"],
} as const;
const MATROSKA_COPIES = {
  video: ["h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "mpeg2video", "mjpeg", "prores", "theora"],
  audio: ["aac", "mp3", "ac3", "eac3", "opus", "vorbis", "flac", "alac", "pcm_s16le", "pcm_s24le"],
} as const;
const NO_COPIES = { video: [], audio: [] } as const;

export const FORMAT_FACTS: Readonly<Record<Format, FormatFacts>> = {
  mp4: {
    muxer: "mp4",
    stem: "video",
    codecs: ["h264", "hevc", "copy"],
    copies: ISO_COPIES,
  },
  mov: {
    muxer: "mov",
    stem: "video",
    codecs: ["h264", "hevc", "copy"],
    copies: {
      video: [...ISO_COPIES.video, "prores", "mjpeg"],
      audio: [...ISO_COPIES.audio, "pcm_s16le", "pcm_s16be", "pcm_s24le"],
    },
  },
  mkv: {
    muxer: "matroska",
    stem: "video",
    codecs: ["h264", "hevc", "vp9", "copy"],
    copies: MATROSKA_COPIES,
  },
  webm: {
    muxer: "webm",
    stem: "video",
    codecs: ["vp9", "copy"],
    copies: { video: ["vp8", "vp9", "av1"], audio: ["opus", "vorbis"] },
  },
  flv: {
    muxer: "flv",
    stem: "video",
    codecs: ["h264", "copy"],
    copies: { video: ["h264", "flv1"], audio: ["aac", "mp3"] },
  },
  avi: {
    muxer: "avi",
    stem: "video",
    codecs: ["h264", "copy"],
    copies: {
      video: ["h264", "mpeg4", "mpeg2video", "mjpeg"],
      audio: ["aac", "mp3", "ac3", "pcm_s16le"],
    },
  },
  m3u8: {
    muxer: "hls",
    stem: "video",
    codecs: ["h264", "copy"],
    copies: { video: ["h264"], audio: ["aac", "mp3"] },
  },
  mp3: { muxer: "mp3", stem: "audio", codecs: [], copies: NO_COPIES },
  gif: { muxer: "gif", stem: "preview", codecs: [], copies: NO_COPIES },
  jpeg: { muxer: "image2", stem: "thumbnail", codecs: [], copies: NO_COPIES },
};

export const isFormat = (text: string): text is Format => (FORMATS as readonly string[]).includes(text);
