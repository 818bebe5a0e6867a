import { local } from "../../lib/clouds/local/index.ts";
import { VideoTranscodePipeline } from "../../lib/index.ts";

const cloud = local();

new VideoTranscodePipeline("one", { cloud, formats: ["mp4"] });
new VideoTranscodePipeline("sliced", { cloud, formats: ["mp4"], slices: "always" });
new VideoTranscodePipeline("fine", {
  cloud,
  formats: ["mp4"],
  slices: { over: "1 KB", length: "5 seconds", atMost: 200 },
});

export const millrace = cloud.output;
