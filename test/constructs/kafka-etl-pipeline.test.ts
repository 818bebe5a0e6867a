import { expect, test } from "vitest";
import { enrich, filter, map, mask, split } from "../../lib/constructs/etl-operators.ts";
import { KafkaEtlPipeline, type KafkaEtlPipelineArgs } from "../../lib/constructs/kafka-etl-pipeline.ts";
import type { EtlRecord } from "../../lib/handlers/etl/records.ts";
import type { EtlSettings } from "../../lib/handlers/etl/settings.ts";
import { Construct, type ConstructArgs } from "../../lib/parts/construct.ts";
import { code, python, read } from "../../lib/parts/index.ts";
import type { FunctionPlan } from "../../lib/parts/plan.ts";
import { formatProblem, ProblemsError } from "../../lib/shared/problem.ts";
import { graphOf, recordingCloud } from "../recording.ts";

interface Prices {
  readonly operator: (record: EtlRecord<{ readonly price: number }>) => unknown;
}
const PRICES = code<Prices>("/app/prices.ts");

/** What a user has. */
class Things extends Construct {
  readonly parts;

  constructor(name: string, args: ConstructArgs) {
    super("Things", name, args);
    const near = { kafka: { brokers: ["a:9092", "b:9092"] } };
    this.parts = {
      bucket: this.bucket("bucket"),
      queue: this.queue("queue"),
      table: this.table("table"),
      orders: this.stream("orders", near),
      near: this.stream("near", { kafka: { brokers: ["b:9092", "a:9092"] } }),
      more: this.stream("more", near),
      far: this.stream("far", { kafka: { brokers: ["c:9092"] } }),
    };
    this.build();
  }
}

/** A cloud that keeps streams, whatever its kind. */
const cloudOf = () => recordingCloud("local");

function pipelineOf(argsOf: (things: Things["parts"]) => KafkaEtlPipelineArgs = () => ({})) {
  const cloud = cloudOf();
  const { parts } = new Things("things", { cloud });
  new KafkaEtlPipeline("etl", { cloud, ...argsOf(parts) });
  return cloud;
}

const functionOf = (cloud: ReturnType<typeof cloudOf>, name: string) => cloud.parts.get(name)?.plan as FunctionPlan;
const settingsOf = (cloud: ReturnType<typeof cloudOf>, name = "etl-consume") =>
  functionOf(cloud, name).settings as unknown as EtlSettings;

test("the graph with everything by default", () => {
  const cloud = cloudOf();
  new KafkaEtlPipeline("orders", { cloud });
  expect(graphOf(cloud)).toMatchInlineSnapshot(`
    [
      "stream orders-source",
      "queue orders-done",
      "queue orders-dead-letters",
      "table orders-sent",
      "bucket orders-large",
      "function orders-consume | etl/consume | on stream.consumed orders-source by 500 | source: stream.claim orders-source | to: queue.send orders-done | deadLetters: queue.send orders-dead-letters | sent: table.read, table.write orders-sent | large: bucket.write orders-large | failures to orders-dead-letters",
      "function orders-redrive-work | etl/redrive | deadLetters: queue.receive orders-dead-letters | source: stream.produce, stream.read orders-source | large: bucket.read orders-large",
      "task orders-redrive | work orders-redrive-work | dispatch orders-redrive-dispatch",
      "function orders-redrive-dispatch | tasks/dispatch | task: task.submit orders-redrive",
      "monitor orders-alarms | orders-dead-letters messages > 0 | orders-consume lag > 10000",
    ]
  `);
  expect(settingsOf(cloud, "orders-consume")).toEqual({
    ...{ operators: [], format: "json", to: "queue", deadLetters: "queue", places: "stream", remembered: 604_800 },
    ...{ tries: 5, objects: { prefix: "", gzip: false }, user: {} },
  });
  expect(functionOf(cloud, "orders-consume")).toMatchObject({ timeout: 300, failures: "orders-dead-letters" });
});

test("async, with operators of every kind", () => {
  const cloud = pipelineOf(({ orders, table }) => ({
    from: orders,
    delivery: "async",
    operators: [
      filter("total > 0"),
      PRICES,
      split("items"),
      enrich(table, { partition: "customers", key: "customer", into: "customer" }),
      python(new URL("file:///app/operators/"), "clean:records"),
      map("{ 'id': id }"),
      mask(["card.number"], { shown: 4 }),
    ],
    links: { rates: read(table) },
    settings: { currency: "EUR" },
    onFailure: code("/app/undo.ts"),
    concurrency: 10,
  }));
  expect(graphOf(cloud).filter((line) => !/^\w+ things-/.test(line))).toMatchInlineSnapshot(`
    [
      "queue etl-done",
      "queue etl-dead-letters",
      "table etl-sent",
      "bucket etl-large",
      "function etl-on-failure | user code undo.ts",
      "function etl-runs-work-operator-5 | programs/process",
      "function etl-runs-work | etl/work | deadLetters: queue.send etl-dead-letters | sent: table.read, table.write etl-sent | large: bucket.write etl-large | onFailure: function.invoke etl-on-failure | table-3: table.read things-table | user.rates: table.read things-table | $code.operator-5: function.invoke etl-runs-work-operator-5",
      "task etl-runs | work etl-runs-work | dispatch etl-runs-dispatch | success to queue etl-done | failure to queue etl-dead-letters",
      "function etl-runs-dispatch | tasks/dispatch | task: task.submit etl-runs",
      "function etl-consume | etl/submit | on stream.consumed things-orders by 500 | source: stream.claim things-orders | task: task.submit etl-runs | failures to etl-dead-letters",
      "function etl-redrive-work | etl/redrive | deadLetters: queue.receive etl-dead-letters | source: stream.produce, stream.read things-orders | large: bucket.read etl-large | runs: task.read etl-runs",
      "task etl-redrive | work etl-redrive-work | dispatch etl-redrive-dispatch",
      "function etl-redrive-dispatch | tasks/dispatch | task: task.submit etl-redrive",
      "monitor etl-alarms | etl-dead-letters messages > 0 | etl-consume lag > 10000",
    ]
  `);
  const { operators, to, user } = settingsOf(cloud, "etl-runs-work");
  expect({ operators, to, user }).toEqual({
    operators: [
      { ready: "filter", expression: "total > 0" },
      { code: "operator-2" },
      { ready: "split", expression: "items" },
      { ready: "enrich", partition: "customers", key: "customer", into: "customer", missing: "fail", cache: 60 },
      { code: "operator-5" },
      { ready: "map", expression: "{ 'id': id }" },
      { ready: "mask", fields: ["card.number"], shown: 4 },
    ],
    to: "result",
    user: { currency: "EUR" },
  });
  expect(cloud.parts.get("etl-runs")?.plan).toMatchObject({
    concurrency: 10,
    onSuccess: [{ kind: "queue", name: "etl-done" }],
    onFailure: [{ kind: "queue", name: "etl-dead-letters" }],
  });
});

test("what one transaction reaches goes in one: streams of the same brokers, in any order", () => {
  const near = pipelineOf(({ orders, near }) => ({ from: orders, to: near }));
  expect(settingsOf(near)).toMatchObject({ to: "same-kafka", deadLetters: "queue", places: "stream" });
  const both = pipelineOf(({ orders, near, far }) => ({ from: orders, to: far, deadLetters: near }));
  expect(settingsOf(both)).toMatchObject({ to: "stream", deadLetters: "same-kafka" });
  expect([...both.parts.keys()]).toContain("etl-failures");
  const all = pipelineOf(({ orders, near, more }) => ({ from: orders, to: near, deadLetters: more }));
  expect(settingsOf(all)).toMatchObject({ to: "same-kafka", deadLetters: "same-kafka" });
  // Nothing but a transaction is asked for: nothing else is made.
  expect([...all.parts.keys()].filter((name) => name.startsWith("etl-"))).toEqual([
    ...["etl-failures", "etl-consume", "etl-alarms"],
  ]);
  expect([...both.parts.keys()]).not.toContain("etl-redrive");
  const without = pipelineOf(({ orders, near }) => ({ from: orders, to: near, transactions: false }));
  expect(settingsOf(without)).toMatchObject({ to: "stream", places: "table" });
  expect(Object.keys(functionOf(without, "etl-consume").links)).not.toContain("source");
  const async = pipelineOf(({ orders, near }) => ({ from: orders, to: near, delivery: "async" }));
  expect(settingsOf(async, "etl-runs-work")).toMatchObject({ to: "stream", deadLetters: "queue" });
});

test.each<[string, (things: Things["parts"]) => object, readonly string[]]>([
  ["a loop", ({ orders }) => ({ from: orders, to: orders }), [expect.stringContaining("without an end")]],
  [
    "choices that there are not, numbers out of bounds",
    () => ({ format: "xml", delivery: "later", message: "none", tries: 0, batch: 20_000, mostLag: -1, unknown: 1 }),
    [
      expect.stringContaining("etl.unknown"),
      expect.stringContaining("etl.format"),
      expect.stringContaining("etl.delivery"),
      expect.stringContaining("etl.message"),
      expect.stringContaining("etl.tries"),
      expect.stringContaining("etl.batch"),
      expect.stringContaining("etl.mostLag"),
    ],
  ],
  [
    "envelopes that come one by one, keys of objects",
    ({ bucket }) => ({ to: bucket, message: "envelope", key: "id" }),
    [expect.stringContaining("an envelope is of a run"), expect.stringContaining("objects have no keys")],
  ],
  [
    "runs whose failures nobody can be told, and a key of an envelope",
    ({ near }) => ({ deadLetters: near, delivery: "async", key: "id" }),
    [expect.stringContaining("runs that fail are told to a queue"), expect.stringContaining("all outputs of a run")],
  ],
  ["objects of a queue", () => ({ objects: { prefix: "a/" } }), [expect.stringContaining("only a bucket has objects")]],
  [
    "a Kafka for a stream that is there",
    ({ orders }) => ({ from: orders, kafka: { brokers: ["a:1"] } }),
    [expect.stringContaining("from is one that is there")],
  ],
])("is refused: %s", (_, argsOf, messages) => {
  try {
    pipelineOf(argsOf as never);
  } catch (error) {
    expect(error).toBeInstanceOf(ProblemsError);
    expect((error as ProblemsError).problems.map(formatProblem)).toEqual(messages);
    return;
  }
  expect.unreachable();
});

test("an expression that is none is refused where it is written", () => {
  expect(() => filter("total >")).toThrow(/filter: "total >" is no JSONata: /);
  expect(() => map("{")).toThrow(/map: /);
  expect(() => pipelineOf(() => ({ key: "a b" }))).toThrow(/key: "a b" is no JSONata/);
  expect(() => mask(["a..b"])).toThrow(/mask: fields are wanted/);
});
