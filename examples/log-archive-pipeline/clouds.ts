import { alicloud } from "../../lib/clouds/alicloud/index.ts";
import { aws } from "../../lib/clouds/aws/index.ts";
import { Construct, type ConstructArgs, every, LogArchivePipeline, outputOf, type Secret } from "../../lib/index.ts";

const hangzhou = alicloud({
  region: "cn-hangzhou",
  contactGroups: [],
  existing: { network: { vpc: "vpc-1", vswitch: "vsw-1", securityGroup: "sg-1" } },
});
const ireland = aws({
  region: "eu-west-1",
  alarmEmails: [],
  existing: { network: { subnets: ["subnet-1", "subnet-2"], securityGroups: ["sg-1"] } },
});

/** An ApsaraMQ for Kafka instance: the topic is made in it. */
export const shop = new LogArchivePipeline("shop", {
  cloud: hangzhou,
  kafka: { brokers: ["alikafka-1.example.com:9092"], instance: "alikafka_post-cn-1" },
  application: "labels.app",
});

/** Who connects to MSK. */
class Users extends Construct {
  readonly kafka: Secret;

  constructor(name: string, args: ConstructArgs) {
    super("Users", name, args);
    this.kafka = this.secret("kafka", {
      existing: "arn:aws:secretsmanager:eu-west-1:123456789012:secret:AmazonMSK_logs-Ab12Cd",
    });
    this.build();
  }
}

/** An MSK cluster, with a topic that is there already; functions ask a Redis who may write. */
export const bank = new LogArchivePipeline("bank", {
  cloud: ireland,
  from: {
    kafka: {
      brokers: ["b-1.logs.a1.c2.kafka.eu-west-1.amazonaws.com:9096"],
      instance: "arn:aws:kafka:eu-west-1:123456789012:cluster/logs/751d2973-a626-431c-9d4e-d7975eb44dd7-2",
      user: new Users("users", { cloud: ireland }).kafka,
    },
    existing: "bank-logs",
  },
  application: { header: "app" },
  compression: { codec: "zstd" },
  upload: every("10 minutes"),
  lock: { redis: "rediss://cache.example.com:6379" },
});

export const millrace = outputOf(hangzhou, ireland);
