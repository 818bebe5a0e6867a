import { local } from "../../../lib/clouds/local/index.ts";
import { code, VideoTranscodePipeline } from "../../../lib/index.ts";
import { Inbox } from "./inbox.ts";

const cloud = local();
const notes = {
  code: code<typeof import("./notes.ts")>(new URL("./notes.ts", import.meta.url)),
  settings: { book: process.env.MILLRACE_TEST_BOOK ?? "/dev/null" },
};
const preset = "ultrafast";

/** Five containers and a picture of every upload, whatever its size, in slices of a second. */
export const videos = new VideoTranscodePipeline("videos", {
  cloud,
  formats: [
    { format: "mp4", preset },
    { format: "mov", preset },
    { format: "flv", preset },
    { format: "avi", preset },
    { format: "m3u8", preset },
    { format: "jpeg", height: 36 },
  ],
  slices: { over: "0 KB", length: "1 second" },
  after: notes,
  onSuccess: new Inbox("done", { cloud }).messages,
  onFailure: notes,
});

export const millrace = cloud.output;
