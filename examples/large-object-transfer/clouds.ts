import { alicloud } from "../../lib/clouds/alicloud/index.ts";
import { aws } from "../../lib/clouds/aws/index.ts";
import { Construct, type ConstructArgs, LargeObjectTransfer, outputOf, type Secret } from "../../lib/index.ts";

const ireland = aws({ region: "eu-west-1", alarmEmails: [] });
const hangzhou = alicloud({ region: "cn-hangzhou", contactGroups: [] });

/** The keys to a bucket on Alibaba Cloud, in a secret on AWS: `{ "accessKeyId": "…", "accessKeySecret": "…" }`. */
class Keys extends Construct {
  readonly hangzhou: Secret;

  constructor(name: string, args: ConstructArgs) {
    super("Keys", name, args);
    this.hangzhou = this.secret("hangzhou", { existing: "keys/hangzhou" });
    this.build();
  }
}

/** The bucket that the copies go to, and what is made of them there. */
class Archive extends Construct {
  readonly films = this.bucket("films");

  constructor(name: string, args: ConstructArgs) {
    super("Archive", name, args);
    this.build();
  }
}

/** From S3 in Ireland to OSS in Hangzhou: the functions run beside the source. */
export const move = new LargeObjectTransfer("move", {
  cloud: ireland,
  to: new Archive("archive", { cloud: hangzhou }).films,
  toKeys: new Keys("keys", { cloud: ireland }).hangzhou,
  when: "upload",
  workers: 40,
});

export const millrace = outputOf(ireland, hangzhou);
