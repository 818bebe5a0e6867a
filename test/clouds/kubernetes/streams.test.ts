import { X509Certificate } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { kubernetes } from "../../../lib/clouds/kubernetes/index.ts";
import { type Cloud, planOf, startEvaluation, stopEvaluation } from "../../../lib/parts/cloud.ts";
import { type RegisteredResource, stubMocks } from "../../../lib/program/mocks.ts";
import { AUTHORITY } from "../../parts/authority.ts";
import { Events, STRIMZI } from "./events-program.ts";
import { deploy, inputsOf, listOf, ofType, settingsOf } from "./stack.ts";

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

const USER = JSON.stringify({ username: "ann", password: "s3cret-of-ann" });

describe("a stream in a Kafka of Strimzi's", () => {
  let resources: readonly RegisteredResource[];
  const variable = (name: string, variable: string) => {
    const { env } = inputsOf(resources, "Deployment", name).spec.template.spec.containers[0];
    return JSON.parse(env.find((one: { name: string }) => one.name === variable).value.replaceAll("$$", "$"));
  };
  beforeAll(async () => {
    resources = await deploy((cloud) => new Events(cloud, {}), {}, { "shop:kafka": USER });
  }, 120_000);

  it("is a topic for the operator of its cluster, which is kept with all in it", () => {
    const topic = inputsOf(resources, "KafkaTopic", "events-orders");
    expect(topic).toMatchObject({
      apiVersion: "kafka.strimzi.io/v1beta2",
      metadata: { namespace: "kafka", labels: { "strimzi.io/cluster": "main" } },
      spec: { partitions: 12, config: { "retention.ms": 172_800_000 } },
    });
    expect(topic.metadata.name).toMatch(/^events-orders-[a-z0-9]{8}$/);
  });

  it("starts its function's own pods, which know where it lies and who they are to it", () => {
    const { name } = inputsOf(resources, "KafkaTopic", "events-orders").metadata;
    const { streams } = variable("events-consumes", "MILLRACE_FUNCTION");
    const [mount] = inputsOf(
      resources,
      "Deployment",
      "events-consumes",
    ).spec.template.spec.containers[0].volumeMounts.filter(({ name }: { name: string }) => name.startsWith("secret-"));
    expect(streams).toEqual([
      {
        ...{ stream: "events-orders", topic: name, brokers: "main-kafka-bootstrap.kafka.svc:9093", tls: "true" },
        mechanism: "scram-sha-256",
        user: { secret: "events-user", path: `${mount.mountPath}/value` },
        group: expect.stringMatching(/^events-consumes-events-orders-[a-z0-9]{8}$/),
        ...{ batch: 500, window: 5, from: "earliest" },
      },
    ]);
  });

  it("is what its pods are scaled by, up to one for each partition", () => {
    const [source] = variable("events-consumes", "MILLRACE_FUNCTION").streams;
    const { spec } = inputsOf(resources, "ScaledObject", "events-consumes-scaling");
    expect(spec).toMatchObject({ minReplicaCount: 0, maxReplicaCount: 12 });
    const authentication = inputsOf(resources, "TriggerAuthentication", "events-consumes-kafka-1");
    expect(spec.triggers.find(({ type }: { type: string }) => type === "kafka")).toEqual({
      type: "kafka",
      metadata: {
        bootstrapServers: source.brokers,
        consumerGroup: source.group,
        topic: source.topic,
        offsetResetPolicy: "earliest",
        lagThreshold: "500",
        activationLagThreshold: "0",
        tls: "enable",
        sasl: "scram_sha256",
      },
      authenticationRef: { name: authentication.metadata.name },
    });
    const secret = inputsOf(resources, "Secret", "events-consumes-kafka-1-user");
    expect(authentication.spec.secretTargetRef).toEqual(
      ["username", "password"].map((key) => ({ parameter: key, name: secret.metadata.name, key })),
    );
  });

  it("has its password in Secrets alone", () => {
    const told = resources.filter(({ inputs }) => JSON.stringify(inputs).includes("s3cret-of-ann"));
    expect(told.map(({ name }) => name).sort()).toEqual(["events-consumes-kafka-1-user", "events-user"]);
  });

  it("is produced to and claimed, under a name of the function's own", () => {
    const link = variable("events-consumes", "MILLRACE_LINK_done");
    expect(link).toMatchObject({ kind: "stream", part: "events-orders", tls: "true" });
    expect(link.group).toMatch(/^events-consumes-done-[a-z0-9]{8}$/);
    expect(variable("events-sends", "MILLRACE_LINK_out").group).toBeUndefined();
    expect(variable("events-sends", "MILLRACE_LINK_out").keys).toBe("$keys.events-user");
  });

  it("is reached by the port of its brokers, in their namespace", () => {
    for (const name of ["events-consumes-network", "events-sends-network"]) {
      const [way] = inputsOf(resources, "NetworkPolicy", name).spec.egress;
      expect(way).toEqual({
        ports: [{ protocol: "TCP", port: 9093 }],
        to: [{ namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "kafka" } } }],
      });
    }
    expect(ofType(resources, "NetworkPolicy").map(({ name }) => name)).not.toContain("events-other-network");
  });

  it("has alarms on what waits, as kafka_exporter counts it", () => {
    const [source] = variable("events-consumes", "MILLRACE_FUNCTION").streams;
    const [group] = inputsOf(resources, "PrometheusRule", "events-alarms").spec.groups;
    expect(group.rules[0]).toMatchObject({
      expr: `max(sum by (consumergroup, topic) (kafka_consumergroup_lag{consumergroup="${source.group}",topic="${source.topic}"})) > 1000`,
      for: "300s",
    });
  });
});

it("failures that no queue gets are told to a stream, which is counted", async () => {
  const kafka = { brokers: ["10.1.2.3:9092"] };
  const resources = await deploy((cloud) => new Events(cloud, { kafka, existing: "orders" }, { failuresOf: "other" }));
  const { env } = inputsOf(resources, "Job", "events-alarms-setup").spec.template.spec.containers[0];
  const setup = JSON.parse(env.find(({ name }: { name: string }) => name === "MILLRACE_SETUP").value);
  const told = inputsOf(resources, "Deployment", "events-other").spec.template.spec.containers[0].env;
  const { failed, failures } = JSON.parse(
    told.find(({ name }: { name: string }) => name === "MILLRACE_FUNCTION").value,
  );
  expect(setup).toMatchObject({ streams: [{ subjects: [failed], maxAge: 3600 }] });
  expect(failures).toBeUndefined();
  const [group] = inputsOf(resources, "PrometheusRule", "events-alarms").spec.groups;
  expect(group.rules[1].expr).toContain(`stream_name="${setup.streams[0].name}"`);
}, 60_000);

it("a topic there is already is used as it is, of a Kafka that asks for nobody", async () => {
  const kafka = { brokers: ["10.1.2.3:9092"] };
  const resources = await deploy((cloud) => new Events(cloud, { kafka, existing: "Shop.orders_v1", group: "mine" }));
  expect(listOf(resources).filter((one) => /KafkaTopic|TriggerAuthentication/.test(one))).toEqual([]);
  const { triggers } = inputsOf(resources, "ScaledObject", "events-consumes-scaling").spec;
  const kafkaTrigger = triggers.find(({ type }: { type: string }) => type === "kafka");
  expect(kafkaTrigger.metadata).toMatchObject({ topic: "Shop.orders_v1", consumerGroup: "mine", tls: "disable" });
  expect(kafkaTrigger).not.toHaveProperty("authenticationRef");
  expect(kafkaTrigger.metadata).not.toHaveProperty("sasl");
}, 60_000);

it("brokers of an authority of one's own: pods are told of it, and so is what scales them", async () => {
  const kafka = { brokers: ["kafka.example.com:9093"], ca: AUTHORITY };
  const resources = await deploy((cloud) => new Events(cloud, { kafka, existing: "orders" }));
  const told = (name: string, variable: string) => {
    const { env } = inputsOf(resources, "Deployment", name).spec.template.spec.containers[0];
    return JSON.parse(env.find((one: { name: string }) => one.name === variable).value.replaceAll("$$", "$"));
  };
  const [source] = told("events-consumes", "MILLRACE_FUNCTION").streams;
  expect(source).toMatchObject({ tls: "true", ca: told("events-sends", "MILLRACE_AUTHORITIES")[0] });
  const secret = inputsOf(resources, "Secret", "events-consumes-kafka-1-ca");
  expect(new X509Certificate(secret.stringData.value.ca).raw).toEqual(new X509Certificate(AUTHORITY).raw);
  const { spec } = inputsOf(resources, "TriggerAuthentication", "events-consumes-kafka-1");
  expect(spec.secretTargetRef).toEqual([{ parameter: "ca", name: secret.metadata.name, key: "ca" }]);
}, 60_000);

describe("what is refused", () => {
  const problems = async (stream: object, more: object = {}) => {
    await pulumi.runtime.setMocks(
      stubMocks(() => {}),
      "shop",
      "prod",
      false,
    );
    const { clouds, problems } = startEvaluation({ builds: false });
    try {
      const cloud: Cloud = kubernetes(settingsOf());
      new Events(cloud, stream, more);
      await pulumi.runtime.disconnect();
      planOf(clouds);
      return problems.map(({ path, message }) => `${path}: ${message}`);
    } finally {
      stopEvaluation();
    }
  };

  it("a stream without a Kafka, a new topic without a cluster of Strimzi's, and one that is none", async () => {
    expect(await problems({ kafka: undefined })).toContainEqual("events-orders.kafka: no Kafka is made: name yours");
    const { instance: _, ...kafka } = STRIMZI;
    expect(await problems({ kafka })).toEqual([
      expect.stringMatching(/^events-orders\.kafka\.instance: a new topic is made/),
    ]);
    expect(await problems({ kafka: { ...kafka, instance: "arn:aws:kafka" } })).toEqual([
      expect.stringMatching(/^events-orders\.kafka\.instance: a Kafka cluster of Strimzi's is wanted/),
    ]);
  });

  it("an alarm on the lag of what no stream starts", async () => {
    expect(await problems({}, { lagOf: "other" })).toEqual([
      expect.stringMatching(/^events-alarms\.alarms.*: lag is of a function that is started by a stream/),
    ]);
  });
});
