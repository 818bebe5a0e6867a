import { local } from "../../lib/clouds/local/index.ts";
import { VideoTranscodePipeline } from "../../lib/index.ts";

const cloud = local();

new VideoTranscodePipeline("one", { cloud, formats: ["mp4"] });
new VideoTranscodePipeline("five", { cloud, formats: ["mp4", "mov", "flv", "avi", "m3u8"] });

export const millrace = cloud.output;
