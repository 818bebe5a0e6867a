import { local } from "../../../lib/clouds/local/index.ts";
import { AsyncTask, type Bucket, Construct, type ConstructArgs, code, read } from "../../../lib/index.ts";

class Archive extends Construct {
  readonly papers: Bucket;

  constructor(name: string, args: ConstructArgs) {
    super("Archive", name, args);
    this.papers = this.bucket("papers");
    this.build();
  }
}

const cloud = local();

new AsyncTask("reading", {
  cloud,
  handler: code<typeof import("./reader.ts")>(new URL("./reader.ts", import.meta.url)),
  links: { papers: read(new Archive("archive", { cloud }).papers) },
});

export const millrace = cloud.output;
