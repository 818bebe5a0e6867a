import { local } from "../../../lib/clouds/local/index.ts";
import { type Bucket, Construct, type ConstructArgs, VideoTranscodePipeline } from "../../../lib/index.ts";

class Media extends Construct {
  readonly files: Bucket;

  constructor(name: string, args: ConstructArgs) {
    super("Media", name, args);
    this.files = this.bucket("files");
    this.build();
  }
}

const cloud = local();
const { files } = new Media("media", { cloud });

/** What is made lies where uploads start runs: refused. */
new VideoTranscodePipeline("videos", {
  cloud,
  uploads: files,
  outputs: files,
  prefix: "in/",
  outputPrefix: "in/made/",
});

export const millrace = cloud.output;
