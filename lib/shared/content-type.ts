/** What a file's ending says of its content. https://www.iana.org/assignments/media-types */
const TYPES: Readonly<Record<string, string>> = {
  aac: "audio/aac",
  avi: "video/x-msvideo",
  csv: "text/csv",
  flac: "audio/flac",
  flv: "video/x-flv",
  gif: "image/gif",
  gz: "application/gzip",
  html: "text/html",
  jpeg: "image/jpeg",
  jpg: "image/jpeg",
  json: "application/json",
  jsonl: "application/jsonl",
  m3u8: "application/vnd.apple.mpegurl",
  m4a: "audio/mp4",
  m4s: "video/iso.segment",
  md: "text/markdown",
  mkv: "video/matroska",
  mov: "video/quicktime",
  mp3: "audio/mpeg",
  mp4: "video/mp4",
  ogg: "audio/ogg",
  parquet: "application/vnd.apache.parquet",
  pdf: "application/pdf",
  png: "image/png",
  srt: "application/x-subrip",
  svg: "image/svg+xml",
  tar: "application/x-tar",
  ts: "video/mp2t",
  txt: "text/plain",
  vtt: "text/vtt",
  wav: "audio/wav",
  webm: "video/webm",
  webp: "image/webp",
  xml: "application/xml",
  zip: "application/zip",
  zst: "application/zstd",
};

/** The media type a key's or file's ending stands for; `application/octet-stream` when it stands for none. */
export function contentTypeOf(name: string): string {
  const [, ending] = /\.([^./]+)$/.exec(name.toLowerCase()) ?? [];
  return ending !== undefined && Object.hasOwn(TYPES, ending) ? TYPES[ending]! : "application/octet-stream";
}
