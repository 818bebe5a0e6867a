/**
 * The demuxers an upload may reach. Not among them are those that open other files or hosts by what the input says:
 * playlists (hls, dash, concat, sdp, imf), subtitles with companions, and image patterns.
 */
const DEMUXERS = [
  "mov,mp4,m4a,3gp,3g2,mj2",
  "matroska,webm",
  "avi,flv,live_flv,mpegts,mpeg,mpegvideo,m4v,h264,hevc,ivf,obu,asf,rm,mxf,gxf,nut,dv,wtv,swf,yuv4mpegpipe,gif",
  "ogg,wav,w64,aiff,mp3,aac,flac,ac3,eac3,amr,caf,au",
].join(",");

/**
 * What both ffmpeg and ffprobe are told before an input that nobody vouches for: only local files, only self-contained
 * formats. https://ffmpeg.org/ffmpeg-formats.html#Format-Options
 */
export const SAFE_INPUT = ["-protocol_whitelist", "file", "-format_whitelist", DEMUXERS] as const;

/** Where programs read a video from, and what they are told before. */
export interface InputAddress {
  readonly safety: readonly string[];
  readonly url: string;
}

/** A file in the folder the programs work in, that nobody vouches for. */
export const fromFile = (file: string): InputAddress => ({ safety: SAFE_INPUT, url: `file:${file}` });

/** What this process itself serves: nothing of that is a format that opens other addresses. */
export const fromServer = (url: string): InputAddress => ({
  safety: ["-protocol_whitelist", "http,tcp", "-format_whitelist", DEMUXERS],
  url,
});

/** A file that was made here. */
export const fromOwn = (file: string): InputAddress => ({ safety: [], url: `file:${file}` });
