import { local } from "../../lib/clouds/local/index.ts";
import { code, VideoTranscodePipeline } from "../../lib/index.ts";

const cloud = local();

/** Every video put into the uploads bucket becomes an mp4, an flv, an HLS playlist and a thumbnail. */
export const videos = new VideoTranscodePipeline("videos", {
  cloud,
  formats: ["mp4", "flv", "m3u8", { format: "jpeg", height: 180 }],
  after: code<typeof import("./catalog.ts")>(new URL("./catalog.ts", import.meta.url)),
  onFailure: code<typeof import("./alert.ts")>(new URL("./alert.ts", import.meta.url)),
});

export const millrace = cloud.output;
