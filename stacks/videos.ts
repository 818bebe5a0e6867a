import { VideoTranscodePipeline } from "../lib/index.ts";
import { chosenCloud } from "./cloud.ts";

const cloud = await chosenCloud();

new VideoTranscodePipeline("videos", { cloud, formats: ["mp4", "flv", "m3u8"] });

export const millrace = cloud.output;
