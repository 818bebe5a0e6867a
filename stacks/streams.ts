import { Config } from "@pulumi/pulumi";
import {
  Construct,
  code,
  filter,
  type Kafka,
  KafkaEtlPipeline,
  LogArchivePipeline,
  mask,
  type Secret,
} from "../lib/index.ts";
import { chosenCloud } from "./cloud.ts";

const cloud = await chosenCloud();
const config = new Config("millrace");

/** Who connects to the Kafka, by the name of a secret you have. */
class KafkaUser extends Construct {
  readonly kafka: Secret;

  constructor(existing: string) {
    super("KafkaUser", "user", { cloud });
    this.kafka = this.secret("kafka", { existing });
    this.build();
  }
}

/** The Kafka that `millrace:kafka` describes; this computer keeps streams itself. */
function chosenKafka(): { readonly kafka?: Kafka } {
  const kafka = config.getObject<Omit<Kafka, "user">>("kafka");
  const user = config.get("kafkaUser");
  if (!kafka) return {};
  return { kafka: { ...kafka, ...(user !== undefined && { user: new KafkaUser(user).kafka }) } };
}

const kafka = chosenKafka();

/** Orders with their totals, each once; those that are none are taken back, and lie in the dead letters. */
new KafkaEtlPipeline("orders", {
  cloud,
  ...kafka,
  operators: [
    code<typeof import("../examples/kafka-etl-pipeline/orders.ts")>(
      new URL("../examples/kafka-etl-pipeline/orders.ts", import.meta.url),
    ),
    filter("total > 0"),
    mask(["customer"], { shown: 2 }),
  ],
  onFailure: code<typeof import("../examples/kafka-etl-pipeline/undo.ts")>(
    new URL("../examples/kafka-etl-pipeline/undo.ts", import.meta.url),
  ),
});

/** Lines such as `{"app":"orders","level":"info","message":"…"}`, in files by application. */
new LogArchivePipeline("logs", { cloud, ...kafka, application: "app" });

export const millrace = cloud.output;
