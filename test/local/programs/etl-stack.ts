import { local } from "../../../lib/clouds/local/index.ts";
import { code, KafkaEtlPipeline, python } from "../../../lib/index.ts";
import { Construct, type ConstructArgs } from "../../../lib/parts/construct.ts";

/** What outputs go to, and where they come from. */
class Things extends Construct {
  readonly parts;

  constructor(name: string, args: ConstructArgs) {
    super("Things", name, args);
    this.parts = {
      orders: this.stream("orders", { partitions: 3 }),
      stream: this.stream("stream", { partitions: 3 }),
      dead: this.stream("dead", { partitions: 1 }),
      bucket: this.bucket("bucket"),
      queue: this.queue("queue"),
    };
    this.build();
  }
}

const cloud = local();
const { orders, stream, dead, bucket, queue } = new Things("things", { cloud }).parts;
const numbers = code<typeof import("./etl-numbers.ts")>(new URL("./etl-numbers.ts", import.meta.url));
const rest = {
  cloud,
  from: orders,
  operators: [numbers],
  batch: 50,
  attempts: 9,
  backoff: { longest: "1 second" },
  window: "0.05 seconds",
} as const;

new KafkaEtlPipeline("streamed", { ...rest, to: stream, deadLetters: dead });
new KafkaEtlPipeline("stored", { ...rest, to: bucket, objects: { prefix: "in/", gzip: true } });
new KafkaEtlPipeline("queued", { ...rest, to: queue });
new KafkaEtlPipeline("cleaned", {
  cloud,
  operators: [python(new URL("./etl-operators/", import.meta.url), "numbers:double")],
  window: "0.05 seconds",
});

export const millrace = cloud.output;
