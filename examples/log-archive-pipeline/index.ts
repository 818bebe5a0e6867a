import { local } from "../../lib/clouds/local/index.ts";
import { every, LogArchivePipeline } from "../../lib/index.ts";

const cloud = local();

/** Lines such as `{"app":"orders","level":"info","message":"…"}`, in a file of its own for each application. */
export const logs = new LogArchivePipeline("logs", {
  cloud,
  from: { partitions: 12 },
  application: "app",
  files: 10,
  seal: { size: "64 MB", age: "10 minutes" },
  upload: every("5 minutes"),
});

export const millrace = cloud.output;
