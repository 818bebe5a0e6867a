import { code } from "../../../lib/parts/code.ts";
import { type Cloud, Construct, claim, consumed, produce } from "../../../lib/parts/index.ts";
import type { Kafka } from "../../../lib/parts/stream.ts";

const echo = code<{ handler: (event: unknown, context: unknown) => Promise<unknown> }>(
  new URL("./functions/echo.ts", import.meta.url),
);

export const STRIMZI = { brokers: ["main-kafka-bootstrap.kafka.svc:9093"], instance: "kafka/main" } as const;

interface EventsArgs {
  /** @default a cluster of Strimzi's, with a user */
  readonly kafka?: Kafka | undefined;
  readonly existing?: string;
  readonly group?: string;
}

/** A stream, a function that it starts and one that writes to it. */
export class Events extends Construct {
  constructor(
    cloud: Cloud,
    args: EventsArgs,
    { lagOf = "consumes", failuresOf }: { readonly lagOf?: "consumes" | "other"; readonly failuresOf?: "other" } = {},
  ) {
    super("Events", "events", { cloud });
    const { existing, group } = args;
    const kafka = "kafka" in args ? args.kafka : this.#strimzi();
    const orders = this.stream("orders", {
      ...(kafka && { kafka }),
      partitions: 12,
      retention: "2 days",
      ...(existing !== undefined && { existing }),
    });
    const failures = this.queue("failures");
    const handler = { handler: echo };
    const when = consumed(orders, {
      ...{ batch: 500, window: "5 seconds", from: "earliest" },
      ...(group !== undefined && { group }),
    });
    const consumes = this.function("consumes", {
      ...{ ...handler, when, failures, links: { done: claim(orders) } },
    } as never);
    this.function("sends", { ...handler, links: { out: produce(orders) } } as never);
    const other = this.function("other", handler as never);
    const part = lagOf === "consumes" ? consumes : other;
    this.monitor("alarms", {
      alarms: [
        { part, metric: "lag", above: 1000 },
        ...(failuresOf ? [{ part: other, metric: "failures", above: 0 } as const] : []),
      ],
    });
    this.build();
  }

  #strimzi(): Kafka {
    return { ...STRIMZI, user: this.secret("user", { config: "kafka" }), mechanism: "scram-sha-256" };
  }
}
