import { local } from "../../../lib/clouds/local/index.ts";
import { every, LogArchivePipeline, outputOf } from "../../../lib/index.ts";

const cloud = local();
new LogArchivePipeline("logs", {
  cloud,
  from: { partitions: 12 },
  batch: 2000,
  window: "1 second",
  seal: { size: "256 KB", age: "8 seconds" },
  upload: every("3 seconds"),
});

export const millrace = outputOf(cloud);
