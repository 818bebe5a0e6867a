import { local } from "../../../lib/clouds/local/index.ts";
import { code, KafkaEtlPipeline } from "../../../lib/index.ts";
import { Construct, type ConstructArgs } from "../../../lib/parts/construct.ts";

class Things extends Construct {
  readonly parts;

  constructor(name: string, args: ConstructArgs) {
    super("Things", name, args);
    this.parts = {
      source: this.stream("source", { partitions: 12 }),
      sink: this.stream("sink", { partitions: 12 }),
      dead: this.stream("dead", { partitions: 3 }),
    };
    this.build();
  }
}

const cloud = local();
const { source, sink, dead } = new Things("things", { cloud }).parts;
new KafkaEtlPipeline("copied", {
  cloud,
  from: source,
  to: sink,
  deadLetters: dead,
  operators: [code<typeof import("./etl-copy.ts")>(new URL("./etl-copy.ts", import.meta.url))],
  window: "0.2 seconds",
  attempts: 20,
  backoff: { longest: "2 seconds" },
});

export const millrace = cloud.output;
