import { local } from "../../../lib/clouds/local/index.ts";
import { every, LogArchivePipeline, outputOf } from "../../../lib/index.ts";

const cloud = local();
new LogArchivePipeline("logs", {
  cloud,
  from: { partitions: 4 },
  batch: 50,
  window: "1 second",
  files: 3,
  seal: { size: "64 KB", age: "1 second" },
  upload: every("5 seconds"),
});

export const millrace = outputOf(cloud);
