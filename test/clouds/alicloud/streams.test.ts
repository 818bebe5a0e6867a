import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "@alicloud/fc20230330";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type AlicloudSettings, alicloud } from "../../../lib/clouds/alicloud/index.ts";
import {
  all,
  type Cloud,
  Construct,
  claim,
  code,
  consumed,
  type FunctionPart,
  produce,
  type Stream,
} from "../../../lib/parts/index.ts";
import type { RegisteredResource } from "../../../lib/program/mocks.ts";
import { synthesize } from "../../../lib/testing/synthesize.ts";
import { unknownNames } from "./models.ts";
import { ACCOUNT, deploy, inputsOf, listOf, ofType, policiesOf, REGION } from "./stack.ts";

let home: string;
const before = process.cwd();
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "millrace-streams-"));
  process.chdir(home);
});
afterAll(async () => {
  process.chdir(before);
  await rm(home, { recursive: true, force: true });
});

const echo = code<{ handler: (event: unknown, context: unknown) => Promise<unknown> }>(
  new URL("./functions/echo.ts", import.meta.url),
);
const INSTANCE = "alikafka_post-cn-1";
const BROKERS = [
  "alikafka-post-cn-1-1-vpc.alikafka.aliyuncs.com:9094",
  "alikafka-post-cn-1-2-vpc.alikafka.aliyuncs.com:9094",
];
const NETWORK = { vpc: "vpc-1", vswitch: "vsw-1", securityGroup: "sg-1" };
const named = { existing: { network: NETWORK } };

/** A new topic and one that is there, what they start, what appends to them and what claims them. */
class Shop extends Construct {
  constructor(cloud: Cloud, args: { readonly name?: string; readonly id?: string } = {}) {
    super("Shop", args.name ?? "shop", { cloud, ...(args.id && { id: args.id }) });
    const user = this.secret("user", { existing: "kafka-user" });
    const kafka = { brokers: BROKERS, instance: INSTANCE, user, tls: false, mechanism: "scram-sha-256" } as const;
    const orders = this.stream("orders", { kafka, partitions: 12 });
    const clicks = this.stream("clicks", { kafka, existing: "clicks-of-mine" });
    const failures = this.queue("failures");
    const count = this.function("count", {
      handler: echo,
      when: [
        consumed(orders, { batch: 500, window: "5 seconds", from: "earliest" }),
        consumed(clicks, { group: "theirs" }),
      ],
      links: { out: produce(clicks), orders: all(produce(orders), claim(orders)), done: claim(clicks) },
      failures,
    } as never);
    this.function("stop", { handler: echo, when: consumed(orders) } as never);
    this.monitor("alarms", { alarms: [{ part: count, metric: "lag", above: 10_000, period: "10 minutes" }] });
    this.build();
  }
}

describe("streams", () => {
  let resources: readonly RegisteredResource[];
  beforeAll(async () => {
    resources = await deploy((cloud) => void new Shop(cloud), named);
  });
  const configOf = (name: RegExp) => {
    const found = ofType(resources, "V3Trigger").find((one) => name.test(one.name))!;
    return JSON.parse(found.inputs.triggerConfig as string);
  };
  const physical = (type: string, name: string, field: string): string => inputsOf(resources, type, name)[field];

  it("are these resources", () => {
    const own = listOf(resources).filter((line) => /Topic|Group|Trigger|Alarm/.test(line));
    expect(own.map((line) => line.replace(/(V3Trigger .*)-[a-z0-9]{6}$/, "$1"))).toEqual([
      "Alarm shop-alarms-shop-count-lag-shop-clicks",
      "Alarm shop-alarms-shop-count-lag-shop-orders",
      `ConsumerGroup shop-count-done-${INSTANCE}`,
      "ConsumerGroup shop-count-group-shop-orders",
      "ConsumerGroup shop-stop-group-shop-orders",
      "Topic shop-orders",
      "V3Trigger shop-count-on-shop-clicks",
      "V3Trigger shop-count-on-shop-orders",
      "V3Trigger shop-stop-on-shop-orders",
    ]);
  });

  it("a new one is a topic of the instance, described by its name; how long it keeps is the instance's own", () => {
    expect(inputsOf(resources, "Topic", "shop-orders")).toEqual({
      instanceId: INSTANCE,
      topic: expect.stringMatching(/^shop-orders-[a-z0-9]{8}$/),
      remark: physical("Topic", "shop-orders", "topic"),
      partitionNum: 12,
      tags: expect.objectContaining({ "millrace:part": "shop-orders" }),
    });
  });

  it("another time is asked for of the topic", async () => {
    class Short extends Construct {
      constructor(cloud: Cloud) {
        super("Short", "short", { cloud });
        this.stream("day", { kafka: { brokers: ["k:9092"], instance: INSTANCE }, retention: "1 day" });
        this.build();
      }
    }
    const made = await deploy((cloud) => void new Short(cloud));
    expect(inputsOf(made, "Topic", "short-day").configs).toBe('{"retention.ms":"86400000"}');
  });

  it("bring batches in order, each until it is done or has failed for good", () => {
    expect(configOf(/count-on-shop-orders/)).toEqual({
      triggerEnable: true,
      asyncInvocationType: false,
      eventRuleFilterPattern: "{}",
      eventSinkConfig: { deliveryOption: { eventSchema: "CloudEvents" } },
      eventSourceConfig: {
        eventSourceType: "Kafka",
        eventSourceParameters: {
          sourceKafkaParameters: {
            RegionId: REGION,
            InstanceId: INSTANCE,
            Topic: physical("Topic", "shop-orders", "topic"),
            ConsumerGroup: physical("ConsumerGroup", "shop-count-group-shop-orders", "consumerId"),
            OffsetReset: "earliest",
            Network: "Default",
          },
        },
      },
      runOptions: {
        mode: "event-streaming",
        errorsTolerance: "ALL",
        retryStrategy: { PushRetryStrategy: "BACKOFF_RETRY" },
        deadLetterQueue: {
          Arn: `acs:mns:${REGION}:${ACCOUNT}:/queues/${physical("ServiceQueue", "shop-failures", "queueName")}`,
        },
        batchWindow: { CountBasedWindow: 500, TimeBasedWindow: 5 },
      },
    });
  });

  it("of a group that is named, it is used and not made", () => {
    const { sourceKafkaParameters } = configOf(/count-on-shop-clicks/).eventSourceConfig.eventSourceParameters;
    expect(sourceKafkaParameters).toMatchObject({
      Topic: "clicks-of-mine",
      ConsumerGroup: "theirs",
      OffsetReset: "latest",
    });
  });

  it("without a queue for failures nothing is passed over", () => {
    const { errorsTolerance, ...rest } = configOf(/stop-on-shop-orders/).runOptions;
    expect(errorsTolerance).toBe("NONE");
    expect(rest).not.toHaveProperty("deadLetterQueue");
  });

  it("have triggers whose settings have the service's own names, upper and lower case included", () => {
    const triggers = ofType(resources, "V3Trigger");
    for (const { inputs } of triggers)
      expect(unknownNames(fc.EventBridgeTriggerConfig, JSON.parse(inputs.triggerConfig as string))).toEqual([]);
    expect(unknownNames(fc.SourceKafkaParameters, { topic: "a", Topic: "a" })).toEqual(["topic"]);
  });

  it("a trigger with other batches is the same one", async () => {
    class Larger extends Construct {
      constructor(cloud: Cloud, batch: number, group?: string) {
        super("Larger", "larger", { cloud });
        const orders = this.stream("orders", { kafka: { brokers: ["k:9092"], instance: INSTANCE } });
        const options = { batch, from: batch > 1 ? "earliest" : "latest", ...(group && { group }) } as const;
        this.function("count", { handler: echo, when: consumed(orders, options) } as never);
        this.build();
      }
    }
    const nameOf = async (...args: readonly [number, string?]) =>
      ofType(await deploy((cloud) => void new Larger(cloud, ...args)), "V3Trigger")[0]!.name;
    const name = await nameOf(1);
    expect(await nameOf(100)).toBe(name);
    expect(await nameOf(1, "theirs")).not.toBe(name);
  });

  it("a function finds them by their topics, their brokers and the keys of their user", () => {
    const { environmentVariables } = inputsOf(resources, "V3Function", "shop-count");
    const topic = physical("Topic", "shop-orders", "topic");
    expect(JSON.parse(environmentVariables.MILLRACE_SOURCES)).toEqual({
      [`topic/${topic}`]: "shop-orders",
      "topic/clicks-of-mine": "shop-clicks",
    });
    const kafka = {
      kind: "stream",
      brokers: BROKERS.join(","),
      tls: "false",
      mechanism: "scram-sha-256",
      keys: "$keys.shop-user",
    };
    const group = physical("ConsumerGroup", `shop-count-done-${INSTANCE}`, "consumerId");
    expect(JSON.parse(environmentVariables.MILLRACE_LINK_orders)).toEqual({
      ...kafka,
      part: "shop-orders",
      topic,
      group,
    });
    expect(JSON.parse(environmentVariables.MILLRACE_LINK_out)).toEqual({
      ...kafka,
      part: "shop-clicks",
      topic: "clicks-of-mine",
    });
    expect(JSON.parse(environmentVariables.MILLRACE_LINK_done)).toMatchObject({ topic: "clicks-of-mine", group });
    expect(group).toMatch(/^shop-count-done-[a-z0-9]{8}$/);
  });

  it("the role of a function gets nothing for them but the keys", () => {
    const { Statement } = policiesOf(resources)["shop-count"]!;
    const actions = Statement.flatMap(({ Action }) => Action);
    expect(actions.sort()).toEqual(["kms:GetSecretValue", "log:PostLogStoreLogs", "mns:SendMessage"]);
  });

  it("a function that appends or claims is in the network where the Kafka is; one that is only started is not", () => {
    const vpcConfig = { vpcId: "vpc-1", vswitchIds: ["vsw-1"], securityGroupId: "sg-1" };
    expect(inputsOf(resources, "V3Function", "shop-count")).toMatchObject({ vpcConfig, internetAccess: true });
    expect(inputsOf(resources, "V3Function", "shop-count")).not.toHaveProperty("nasConfig");
    expect(inputsOf(resources, "V3Function", "shop-stop")).not.toHaveProperty("vpcConfig");
  });

  it("lag is of a function's group, an alarm for each stream", () => {
    const lag = (stream: string) => inputsOf(resources, "Alarm", `shop-alarms-shop-count-lag-${stream}`);
    expect(lag("shop-orders")).toMatchObject({
      project: "acs_kafka",
      metric: "message_accumulation",
      period: 900,
      escalationsCritical: { statistics: "Value", comparisonOperator: ">", threshold: "10000" },
    });
    const dimensions = ["shop-orders", "shop-clicks"].flatMap((stream) => JSON.parse(lag(stream).metricDimensions));
    const group = physical("ConsumerGroup", "shop-count-group-shop-orders", "consumerId");
    const place = { userId: ACCOUNT, region: REGION, instanceId: INSTANCE };
    expect(dimensions).toEqual([
      { ...place, consumerGroup: group },
      { ...place, consumerGroup: "theirs" },
    ]);
  });

  it("are called the same when their construct is renamed and keeps its id", async () => {
    const renamed = await deploy((cloud) => void new Shop(cloud, { name: "later", id: "shop" }), named);
    const namesOf = (all: readonly RegisteredResource[]) =>
      all
        .flatMap(({ inputs }) => [inputs.topic, inputs.consumerId, inputs.triggerName])
        .filter(Boolean)
        .sort();
    expect(namesOf(renamed)).toEqual(namesOf(resources));
  });

  it("keep to the service's names, however long their own are", async () => {
    class Long extends Construct {
      constructor(cloud: Cloud) {
        super("Long", `a-${"very-".repeat(12)}long-name`, { cloud });
        const stream = this.stream("of-orders", { kafka: { brokers: ["k:9092"], instance: INSTANCE } });
        this.function("that-counts", { handler: echo, when: consumed(stream), links: { it: claim(stream) } } as never);
        this.build();
      }
    }
    const made = await deploy((cloud) => void new Long(cloud));
    const names = made.flatMap(({ inputs }) => [inputs.topic, inputs.remark, inputs.consumerId]).filter(Boolean);
    expect(names).toHaveLength(6);
    for (const name of names) expect(name).toMatch(/^[A-Za-z0-9][A-Za-z0-9_-]{2,63}$/);
    expect(new Set(names)).toHaveProperty("size", 3);
  });
});

describe("what is refused, all at once and in words", () => {
  const problemsOf = async (declare: (cloud: Cloud) => unknown, settings: Partial<AlicloudSettings> = {}) => {
    const { problems } = await synthesize(() =>
      declare(alicloud({ region: REGION, account: ACCOUNT, contactGroups: [], ...settings })),
    );
    return problems.map(({ path, message }) => `${path}: ${message}`);
  };
  class Trying extends Construct {
    constructor(cloud: Cloud, declare: (parts: Trying) => void) {
      super("Trying", "try", { cloud });
      declare(this);
      this.build();
    }
    declare stream: Construct["stream"];
    declare function: Construct["function"];
    declare monitor: Construct["monitor"];
  }
  const trying = (declare: (parts: Trying) => void) => (cloud: Cloud) => new Trying(cloud, declare);
  const takes = (parts: Trying, options: object): FunctionPart =>
    parts.function("take", { handler: echo, ...options } as never);

  it("a stream without a Kafka, a new topic in no instance", async () => {
    const found = await problemsOf(
      trying((parts) => {
        parts.stream("bare");
        parts.stream("new", { kafka: { brokers: ["kafka.example.com:9092"] } });
        parts.stream("there", { kafka: { brokers: ["kafka.example.com:9092"] }, existing: "orders" });
      }),
    );
    expect(found).toEqual([
      expect.stringMatching(/^try-bare\.kafka: .*costs/),
      expect.stringMatching(/^try-new\.kafka\.instance: /),
    ]);
  });

  it("a Kafka that is no instance, as a source; batches, windows and times beyond the service's", async () => {
    const found = await problemsOf(
      trying((parts) => {
        const there = parts.stream("there", { kafka: { brokers: ["kafka.example.com:9092"] }, existing: "orders" });
        const when = consumed(there, { batch: 10_001, window: "16 seconds" });
        takes(parts, { when, timeout: "6 minutes" });
      }),
    );
    expect(found).toEqual([
      expect.stringMatching(/^try-take\.timeout: /),
      expect.stringMatching(/^try-take\.when\.batch: /),
      expect.stringMatching(/^try-take\.when\.window: /),
      expect.stringMatching(/^try-take\.when: .*instance alone.*try-there/),
    ]);
  });

  it("two topics of one name", async () => {
    const found = await problemsOf(
      trying((parts) => {
        const streams = ["alikafka_post-cn-1", "alikafka_post-cn-2"].map((instance, index) =>
          parts.stream(`s${index}`, { kafka: { brokers: ["k:9092"], instance }, existing: "orders" }),
        );
        takes(parts, { when: streams.map((stream) => consumed(stream)) });
      }),
    );
    expect(found).toEqual([expect.stringMatching(/^try-take\.when: .*topic of this name/)]);
  });

  it.each([
    ["alikafka-post-cn-1-1-vpc.alikafka.aliyuncs.com:9092", false],
    ["alikafka-post-cn-1-1-vpc.alikafka.aliyuncs.com:9094", false],
    ["172.16.0.3:9092", false],
    ["alikafka-post-cn-1-1.alikafka.aliyuncs.com:9093", true],
    ["kafka.example.com:9094", true],
    ["172.15.0.3:9092", true],
  ])("%s from no network: allowed %s", async (broker, isAllowed) => {
    const declare = trying((parts) => {
      const there = parts.stream("there", { kafka: { brokers: [broker] }, existing: "orders" });
      takes(parts, { links: { out: produce(there) } });
    });
    const refused = [expect.stringMatching(/^try-take\.links\.out: .*existing: \{ network/)];
    expect(await problemsOf(declare)).toEqual(isAllowed ? [] : refused);
    expect(await problemsOf(declare, named)).toEqual([]);
  });

  it("lag of what no stream starts", async () => {
    const found = await problemsOf(
      trying((parts) => {
        const idle = takes(parts, {});
        parts.monitor("alarms", { alarms: [{ part: idle, metric: "lag", above: 1 }] });
      }),
    );
    expect(found).toEqual([expect.stringMatching(/^try-alarms\.alarms: lag is of a function/)]);
  });

  it("an environment that does not fit, for all the brokers it names", async () => {
    const brokers = Array.from({ length: 40 }, (_, index) => `broker-${index}.kafka.example.com:9093`);
    const found = await problemsOf(
      trying((parts) => {
        const streams: readonly Stream[] = ["a", "b", "c"].map((name) =>
          parts.stream(name, { kafka: { brokers }, existing: name }),
        );
        takes(parts, { links: Object.fromEntries(streams.map((stream) => [stream.name, produce(stream)])) });
      }),
    );
    expect(found).toEqual([expect.stringMatching(/^try-take\.links: .*4 KB/)]);
  });
});
