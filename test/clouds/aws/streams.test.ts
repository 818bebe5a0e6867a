import { X509Certificate } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UNSCOPED } from "../../../lib/clouds/aws/deploy/permissions.ts";
import { type AwsSettings, aws } from "../../../lib/clouds/aws/index.ts";
import {
  all,
  type Cloud,
  Construct,
  claim,
  code,
  consumed,
  type FunctionPart,
  type Kafka,
  mount,
  produce,
} from "../../../lib/parts/index.ts";
import type { RegisteredResource } from "../../../lib/program/mocks.ts";
import { synthesize } from "../../../lib/testing/synthesize.ts";
import { AUTHORITY } from "../../parts/authority.ts";
import type { PolicyDocument } from "../policies.ts";
import { ACCOUNT, arn, deploy, inputsOf, listOf, ofType, REGION } from "./stack.ts";

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
  new URL("../alicloud/functions/echo.ts", import.meta.url),
);
const CLUSTER = arn("kafka", "cluster/shop/751d2973-a626-431c-9d4e-d7975eb44dd7-2");
const BROKERS = [
  "b-1.shop.a1.c2.kafka.eu-central-1.amazonaws.com:9096",
  "b-2.shop.a1.c2.kafka.eu-central-1.amazonaws.com:9096",
];
const SECRET = arn("secretsmanager", "secret:AmazonMSK_shop-Ab12Cd");
const NETWORK = { subnets: ["subnet-1", "subnet-2"], securityGroups: ["sg-1"] };
const named = { existing: { network: NETWORK } };
/** The cluster has that many brokers. */
const brokers = (numberOfBrokerNodes: number) => ({
  "aws:msk/getCluster:getCluster": (inputs: object) => ({ ...inputs, numberOfBrokerNodes }),
});

/** A new topic of MSK and topics that are there: what they start, what appends to them and what claims them. */
class Shop extends Construct {
  constructor(cloud: Cloud, args: { readonly name?: string; readonly id?: string } = {}) {
    super("Shop", args.name ?? "shop", { cloud, ...(args.id && { id: args.id }) });
    const user = this.secret("user", { existing: SECRET });
    const kafka = { brokers: BROKERS, instance: CLUSTER, user };
    const orders = this.stream("orders", { kafka, partitions: 12, retention: "1 day" });
    const open = this.stream("open", { kafka: { brokers: BROKERS, instance: CLUSTER }, existing: "open-topic" });
    const own: Kafka = { brokers: ["kafka-1.example.com:9093", "kafka-2.example.com:9093"], user, mechanism: "plain" };
    const clicks = this.stream("clicks", { kafka: own, existing: "clicks-of-mine" });
    const failures = this.queue("failures");
    const count = this.function("count", {
      handler: echo,
      when: consumed(orders, { batch: 500, window: "5 seconds", from: "earliest" }),
      links: { out: produce(clicks), orders: all(produce(orders), claim(orders)) },
      failures,
    } as never);
    this.function("look", { handler: echo, when: consumed(open, { group: "theirs" }) } as never);
    this.function("watch", { handler: echo, when: consumed(clicks, { window: "0 seconds" }) } as never);
    this.monitor("alarms", { alarms: [{ part: count, metric: "lag", above: 10_000 }] });
    this.build();
  }
}

describe("streams", () => {
  let resources: readonly RegisteredResource[];
  beforeAll(async () => {
    resources = await deploy((cloud) => void new Shop(cloud), named, brokers(6));
  });
  const mappingOf = (all: readonly RegisteredResource[], name: string) =>
    ofType(all, "EventSourceMapping").find((one) => one.name.startsWith(name))!.inputs;
  const nameOf = (type: string, name: string): string => inputsOf(resources, type, name).name;
  const statementsOf = (all: readonly RegisteredResource[], name: string) =>
    (JSON.parse(inputsOf(all, "RolePolicy", `${name}-role-policy`).policy) as PolicyDocument).Statement;
  const allow = (Action: readonly string[], ...Resource: readonly string[]) => ({ Effect: "Allow", Action, Resource });

  it("are these resources", () => {
    const own = listOf(resources).filter((line) => /Topic|Mapping|MetricAlarm/.test(line) && line.includes("shop"));
    expect(own.map((line) => line.replace(/(Mapping .*)-[a-z0-9]{6}$/, "$1"))).toEqual([
      "EventSourceMapping shop-count-on-shop-orders",
      "EventSourceMapping shop-look-on-shop-open",
      "EventSourceMapping shop-watch-on-shop-clicks",
      "MetricAlarm shop-alarms-shop-count-lag",
      "Topic shop-orders",
    ]);
  });

  it("a new one is a topic of the cluster, with as many copies as there are brokers for", async () => {
    expect(inputsOf(resources, "Topic", "shop-orders")).toEqual({
      name: expect.stringMatching(/^shop-orders-[a-z0-9]{8}$/),
      clusterArn: CLUSTER,
      partitionCount: 12,
      replicationFactor: 3,
      configs: '{"retention.ms":"86400000"}',
    });
    const small = await deploy((cloud) => void new Shop(cloud), named, brokers(2));
    expect(inputsOf(small, "Topic", "shop-orders").replicationFactor).toBe(2);
  });

  it("of MSK come by its ARN, to a group of the function's own", () => {
    expect(mappingOf(resources, "shop-count-on")).toEqual({
      eventSourceArn: CLUSTER,
      topics: [nameOf("Topic", "shop-orders")],
      amazonManagedKafkaEventSourceConfig: {
        consumerGroupId: expect.stringMatching(/^shop-count-shop-orders-[a-z0-9]{8}$/),
      },
      sourceAccessConfigurations: [{ type: "SASL_SCRAM_512_AUTH", uri: SECRET }],
      functionName: arn("lambda", `function:${nameOf("Function", "shop-count")}`),
      startingPosition: "TRIM_HORIZON",
      batchSize: 500,
      maximumBatchingWindowInSeconds: 5,
      destinationConfig: { onFailure: { destinationArn: arn("sqs", nameOf("Queue", "shop-failures")) } },
      tags: expect.objectContaining({ "millrace:part": "shop-count" }),
    });
  });

  it("of MSK without a user come by the function's role", () => {
    const { topics, amazonManagedKafkaEventSourceConfig, startingPosition, ...rest } = mappingOf(
      resources,
      "shop-look-on",
    );
    expect({ topics, amazonManagedKafkaEventSourceConfig, startingPosition }).toEqual({
      topics: ["open-topic"],
      amazonManagedKafkaEventSourceConfig: { consumerGroupId: "theirs" },
      startingPosition: "LATEST",
    });
    for (const field of ["sourceAccessConfigurations", "destinationConfig", "maximumRetryAttempts"])
      expect(rest).not.toHaveProperty(field);
  });

  it("of any other Kafka come by its brokers, through the network", () => {
    expect(mappingOf(resources, "shop-watch-on")).toMatchObject({
      topics: ["clicks-of-mine"],
      selfManagedEventSource: {
        endpoints: { KAFKA_BOOTSTRAP_SERVERS: "kafka-1.example.com:9093,kafka-2.example.com:9093" },
      },
      selfManagedKafkaEventSourceConfig: { consumerGroupId: expect.stringMatching(/^shop-watch-shop-clicks-/) },
      sourceAccessConfigurations: [
        { type: "BASIC_AUTH", uri: SECRET },
        { type: "VPC_SUBNET", uri: "subnet:subnet-1" },
        { type: "VPC_SUBNET", uri: "subnet:subnet-2" },
        { type: "VPC_SECURITY_GROUP", uri: "security_group:sg-1" },
      ],
    });
    expect(mappingOf(resources, "shop-watch-on")).not.toHaveProperty("maximumBatchingWindowInSeconds");
  });

  it("with pollers of one's own a batch is tried as often as the function says, in halves", async () => {
    const settings = { ...named, kafka: { pollers: { max: 4 } } };
    const made = await deploy((cloud) => void new Shop(cloud), settings, brokers(3));
    expect(mappingOf(made, "shop-count-on")).toMatchObject({
      provisionedPollerConfig: { minimumPollers: 1, maximumPollers: 4 },
      maximumRetryAttempts: 2,
      bisectBatchOnFunctionError: true,
    });
  });

  it("a mapping with other batches is the same one, of another group another", async () => {
    class Larger extends Construct {
      constructor(cloud: Cloud, batch: number, group?: string) {
        super("Larger", "larger", { cloud });
        const orders = this.stream("orders", { kafka: { brokers: BROKERS, instance: CLUSTER }, existing: "orders" });
        this.function("count", { handler: echo, when: consumed(orders, { batch, ...(group && { group }) }) } as never);
        this.build();
      }
    }
    const mapping = async (...args: readonly [number, string?]) =>
      ofType(await deploy((cloud) => void new Larger(cloud, ...args), named), "EventSourceMapping")[0]!;
    const [one, more, theirs] = [await mapping(1), await mapping(100), await mapping(1, "theirs")];
    expect(more.name).toBe(one.name);
    const { batchSize, ...same } = more.inputs;
    expect({ ...same, batchSize: 1 }).toEqual(one.inputs);
    expect(batchSize).toBe(100);
    expect(theirs.name).not.toBe(one.name);
  });

  it("whoever reads for a function has what that needs, and no more", () => {
    const [topic, group] = ["topic", "group"].map((kind) => CLUSTER.replace(":cluster/", `:${kind}/`));
    const inNetwork = allow(UNSCOPED.network, "*");
    const read = allow(["kafka:DescribeClusterV2", "kafka:GetBootstrapBrokers"], CLUSTER);
    const pollers = allow(UNSCOPED.pollers, "*");
    const secret = allow(["secretsmanager:GetSecretValue"], SECRET);
    const withoutLogs = (name: string) =>
      statementsOf(resources, name).filter(({ Action }) => !Action.some((action) => /^(logs|sqs):/.test(action)));
    expect(withoutLogs("shop-look")).toEqual([
      allow([...read.Action, "kafka-cluster:Connect", "kafka-cluster:DescribeClusterDynamicConfiguration"], CLUSTER),
      pollers,
      allow(["kafka-cluster:DescribeTopic", "kafka-cluster:ReadData"], `${topic}/open-topic`),
      allow(["kafka-cluster:DescribeGroup", "kafka-cluster:AlterGroup"], `${group}/theirs`),
    ]);
    expect(withoutLogs("shop-watch")).toEqual([secret, pollers]);
    expect(withoutLogs("shop-count")).toEqual([
      secret,
      allow([...read.Action, "kafka:ListScramSecrets"], CLUSTER),
      allow([...new Set([...UNSCOPED.pollers, ...inNetwork.Action])], "*"),
    ]);
  });

  it("a function finds them by their topics, their brokers and the keys of their user", () => {
    const { variables } = inputsOf(resources, "Function", "shop-count").environment;
    const topic = nameOf("Topic", "shop-orders");
    expect(JSON.parse(variables.MILLRACE_SOURCES)).toEqual({ [`topic/${topic}`]: "shop-orders" });
    expect(JSON.parse(variables.MILLRACE_LINK_orders)).toEqual({
      kind: "stream",
      part: "shop-orders",
      topic,
      brokers: BROKERS.join(","),
      tls: "true",
      mechanism: "scram-sha-512",
      keys: "$keys.shop-user",
      group: expect.stringMatching(/^shop-count-done-[a-z0-9]{8}$/),
    });
    expect(JSON.parse(variables.MILLRACE_LINK_out)).not.toHaveProperty("group");
  });

  it("a function that appends or claims is in the network where the Kafka is; one that is only started is not", () => {
    expect(inputsOf(resources, "Function", "shop-count").vpcConfig).toEqual({
      subnetIds: NETWORK.subnets,
      securityGroupIds: NETWORK.securityGroups,
    });
    expect(inputsOf(resources, "Function", "shop-watch")).not.toHaveProperty("vpcConfig");
  });

  it("lag is the service's own number", () => {
    expect(inputsOf(resources, "MetricAlarm", "shop-alarms-shop-count-lag")).toMatchObject({
      namespace: "AWS/Lambda",
      metricName: "OffsetLag",
      statistic: "Maximum",
      dimensions: { FunctionName: nameOf("Function", "shop-count") },
      threshold: 10_000,
    });
  });

  it("are called the same when their construct is renamed and keeps its id", async () => {
    const renamed = await deploy((cloud) => void new Shop(cloud, { name: "later", id: "shop" }), named, brokers(6));
    const namesOf = (all: readonly RegisteredResource[]) =>
      all
        .flatMap(({ inputs }) => [inputs.topics, inputs.amazonManagedKafkaEventSourceConfig])
        .flatMap((one) => (one === undefined ? [] : [JSON.stringify(one)]))
        .sort();
    expect(namesOf(renamed)).toEqual(namesOf(resources));
  });
});

it("brokers of an authority of one's own: Lambda finds it in a secret, and a function has it once", async () => {
  class Own extends Construct {
    constructor(cloud: Cloud) {
      super("Own", "own", { cloud });
      const kafka = {
        brokers: ["kafka.example.com:9093"],
        ca: AUTHORITY,
        user: this.secret("user", { existing: SECRET }),
      };
      const orders = this.stream("orders", { kafka, existing: "orders" });
      const links = { one: produce(orders), two: produce(orders) };
      this.function("take", { handler: echo, when: consumed(orders), links } as never);
      this.build();
    }
  }
  const resources = await deploy((cloud) => void new Own(cloud));
  const [mapping] = ofType(resources, "EventSourceMapping");
  expect(mapping!.inputs.sourceAccessConfigurations).toEqual([
    { type: "SASL_SCRAM_512_AUTH", uri: SECRET },
    { type: "SERVER_ROOT_CA_CERTIFICATE", uri: expect.stringContaining(":secret:own-take-ca-") },
  ]);
  const { secretString } = inputsOf(resources, "SecretVersion", ofType(resources, "SecretVersion")[0]!.name);
  const { certificate } = JSON.parse(secretString.value) as { readonly certificate: string };
  expect(new X509Certificate(certificate).raw).toEqual(new X509Certificate(AUTHORITY).raw);
  const { variables } = inputsOf(resources, "Function", "own-take").environment;
  expect(JSON.parse(variables.MILLRACE_AUTHORITIES)).toHaveLength(1);
});

describe("what is refused, all at once and in words", () => {
  const problemsOf = async (declare: (cloud: Cloud) => unknown, settings: Partial<AwsSettings> = {}) => {
    const { problems } = await synthesize(() =>
      declare(aws({ region: REGION, account: ACCOUNT, alarmEmails: [], ...settings })),
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
    declare secret: Construct["secret"];
    declare volume: Construct["volume"];
  }
  const trying = (declare: (parts: Trying) => void) => (cloud: Cloud) => new Trying(cloud, declare);
  const takes = (parts: Trying, options: object): FunctionPart =>
    parts.function("take", { handler: echo, ...options } as never);

  it("a stream without a Kafka, a new topic in no cluster, a cluster by its name", async () => {
    const found = await problemsOf(
      trying((parts) => {
        parts.stream("bare");
        parts.stream("new", { kafka: { brokers: ["kafka.example.com:9092"] } });
        parts.stream("odd", { kafka: { brokers: BROKERS, instance: "shop" } });
        parts.stream("there", { kafka: { brokers: ["kafka.example.com:9092"] }, existing: "orders" });
      }),
    );
    expect(found).toEqual([
      expect.stringMatching(/^try-bare\.kafka: .*costs/),
      expect.stringMatching(/^try-new\.kafka\.instance: .*ARN/),
      expect.stringMatching(/^try-odd\.kafka\.instance: the ARN/),
    ]);
  });

  it("more time, larger batches and longer windows than Lambda has for them; a topic twice", async () => {
    const found = await problemsOf(
      trying((parts) => {
        const there = parts.stream("there", { kafka: { brokers: BROKERS, instance: CLUSTER }, existing: "orders" });
        const more = parts.stream("more", { kafka: { brokers: BROKERS, instance: CLUSTER }, existing: "orders" });
        const when = [consumed(there, { batch: 10_001, window: "6 minutes" }), consumed(more)];
        takes(parts, { when, timeout: "15 minutes" });
      }),
    );
    expect(found).toEqual([
      expect.stringMatching(/^try-take\.when\.batch: /),
      expect.stringMatching(/^try-take\.when\.window: /),
      expect.stringMatching(/^try-take\.timeout: .*what a Kafka brings/),
      expect.stringMatching(/^try-take\.when: .*topic of this name/),
    ]);
  });

  it.each<readonly [string, Partial<Kafka>, string, RegExp | undefined]>([
    ["a secret by its name", {}, "kafka-user", /whole ARN/],
    ["a user without encryption", { tls: false }, SECRET, /needs tls/],
    [
      "MSK's users by another mechanism",
      { instance: CLUSTER, mechanism: "scram-sha-256" },
      SECRET,
      /another mechanism/,
    ],
    ["nobody, over the internet", {}, "", /as a user, or within a network/],
    ["a user, over the internet", {}, SECRET, undefined],
    ["a user, of brokers of one's own authority", { ca: AUTHORITY }, SECRET, undefined],
    ["a user of MSK, of one's own authority", { ca: AUTHORITY, instance: CLUSTER }, SECRET, /everybody knows/],
    ["the function's role, of MSK", { instance: CLUSTER }, "", undefined],
  ])("who reads is %s", async (_, kafka, secret, wanted) => {
    const declare = trying((parts) => {
      const user = secret ? { user: parts.secret("user", { existing: secret }) } : {};
      const all = { brokers: ["kafka.example.com:9093"], ...user, ...kafka };
      takes(parts, { when: consumed(parts.stream("there", { kafka: all, existing: "orders" })) });
    });
    const found = await problemsOf(declare);
    expect(found).toEqual(wanted ? [expect.stringMatching(wanted)] : []);
    if (!secret) expect(await problemsOf(declare, named)).toEqual([]);
  });

  it.each([
    ["b-1.shop.a1.c2.kafka.eu-central-1.amazonaws.com:9096", false],
    ["boot-1.a1.c2.kafka-serverless.eu-central-1.amazonaws.com:9098", false],
    ["10.1.2.3:9092", false],
    ["b-1-public.shop.a1.c2.kafka.eu-central-1.amazonaws.com:9196", true],
    ["kafka.example.com:9093", true],
  ])("%s from no network: allowed %s", async (broker, isAllowed) => {
    const declare = trying((parts) => {
      const there = parts.stream("there", { kafka: { brokers: [broker] }, existing: "orders" });
      takes(parts, { links: { out: produce(there) } });
    });
    const refused = [expect.stringMatching(/^try-take\.links\.out: .*existing: \{ network/)];
    expect(await problemsOf(declare)).toEqual(isAllowed ? [] : refused);
    expect(await problemsOf(declare, named)).toEqual([]);
  });

  it("any Kafka from a network without a way out; lag of what no stream starts; pollers nobody has", async () => {
    const declare = trying((parts) => {
      const there = parts.stream("there", { kafka: { brokers: ["kafka.example.com:9093"] }, existing: "orders" });
      const files = parts.volume("files");
      const part = takes(parts, { links: { out: produce(there), files: mount(files) } });
      parts.monitor("alarms", { alarms: [{ part, metric: "lag", above: 1 }] });
    });
    expect(await problemsOf(declare, { kafka: { pollers: { min: 5, max: 4 } } })).toEqual([
      expect.stringMatching(/^aws\.kafka\.pollers: /),
      expect.stringMatching(/^try-take\.links\.out: .*without a way out/),
      expect.stringMatching(/^try-alarms\.alarms: lag is of a function/),
    ]);
  });
});
