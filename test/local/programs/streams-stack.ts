import { local } from "../../../lib/clouds/local/index.ts";
import {
  Construct,
  type ConstructArgs,
  claim,
  code,
  consumed,
  produce,
  type Queue,
  type Stream,
} from "../../../lib/index.ts";

const settings = { book: process.env.MILLRACE_TEST_BOOK ?? "/dev/null" };
const BATCH = Number(process.env.STREAMS_TEST_BATCH ?? 10);

/** Two readers of one stream: one notes what it gets, the other one sends on, each record once. */
class Shop extends Construct {
  readonly orders: Stream;
  readonly results: Stream;
  readonly failures: Queue;

  constructor(name: string, args: ConstructArgs) {
    super("Shop", name, args);
    this.orders = this.stream("orders", { partitions: 4 });
    this.results = this.stream("results", { partitions: 2 });
    this.failures = this.queue("failures");
    const when = consumed(this.orders, { batch: BATCH, window: "1 minute", from: "earliest" });
    const count = this.function("count", {
      when,
      handler: code<typeof import("./streams-count.ts")>(new URL("./streams-count.ts", import.meta.url)),
      settings,
      attempts: 3,
      backoff: { first: "1 second", factor: 1, longest: "1 second" },
      failures: this.failures,
    });
    this.function("tally", {
      when,
      handler: code<typeof import("./streams-tally.ts")>(new URL("./streams-tally.ts", import.meta.url)),
      links: { orders: claim(this.orders), results: produce(this.results) },
      attempts: 10,
      backoff: { first: "1 second", factor: 1, longest: "1 second" },
    });
    this.monitor("alarms", {
      alarms: [{ part: count, metric: "lag", above: 12, period: "10 seconds" }],
      notify: [this.queue("pager")],
    });
    this.build();
  }
}

const cloud = local();
new Shop("shop", { cloud });

export const millrace = cloud.output;
