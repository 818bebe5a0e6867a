import { local } from "../../../lib/clouds/local/index.ts";
import { LargeObjectTransfer, outputOf } from "../../../lib/index.ts";

const cloud = local();
new LargeObjectTransfer("move", {
  cloud,
  workers: 4,
  piece: "8 MB",
  memory: "256 MB",
  prefix: "auto/",
  when: "upload",
});

export const millrace = outputOf(cloud);
