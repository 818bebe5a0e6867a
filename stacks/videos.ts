import { local } from "../lib/clouds/local/index.ts";
import { VideoTranscodePipeline } from "../lib/index.ts";

const cloud = local();

new VideoTranscodePipeline("videos", { cloud, formats: ["mp4", "flv", "m3u8"] });

export const millrace = cloud.output;
