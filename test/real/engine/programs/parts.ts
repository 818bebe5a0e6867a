import { Config } from "@pulumi/pulumi";
import type { NatsSettings, StoreSettings } from "../../../../lib/clouds/kubernetes/index.ts";
import {
  type Cloud,
  Construct,
  claim,
  code,
  consumed,
  created,
  cron,
  every,
  fired,
  type Kafka,
  mount,
  produce,
  read,
  received,
  send,
} from "../../../../lib/parts/index.ts";

/** Every part there is, with options the constructs leave alone; what may be removed beside what may not. */
class Parts extends Construct {
  /** @param kafka where its streams lie; none on clouds that build none */
  constructor(cloud: Cloud, kafka: Omit<Kafka, "user"> | undefined) {
    super("Parts", "parts", { cloud });
    const failures = this.queue("failures");
    const notes = this.queue("notes", { visibility: "6 minutes", attempts: 4, deadLetters: failures });
    const uploads = this.bucket("uploads", { removable: true, expires: "30 days" });
    this.bucket("kept", { versioned: true });
    const rows = this.table("rows", { removable: true });
    this.table("kept-rows");
    const files = this.volume("files", { removable: true });
    const token = this.secret("token", { config: "token" });
    const night = this.schedule("night", { timing: cron("0 4 * * mon-fri", { timeZone: "Asia/Shanghai" }) });
    this.function("read", {
      handler: code<typeof import("./read.ts")>(new URL("./read.ts", import.meta.url)),
      links: { uploads: read(uploads), notes: send(notes), rows: read(rows), token: read(token), files: mount(files) },
      timeout: "50 seconds",
      concurrency: 3,
      failures,
    });
    this.function("listen", {
      handler: code<typeof import("./listen.ts")>(new URL("./listen.ts", import.meta.url)),
      when: [created(uploads, { prefix: "in/", suffix: ".csv" }), received(notes), every("5 minutes"), fired(night)],
      timeout: "50 seconds",
    });
    if (kafka) {
      const placed = { kafka: { ...kafka, user: token } };
      const orders = this.stream("orders", { ...placed, partitions: 12, retention: "1 day" });
      const done = this.stream("done", { ...placed, removable: true });
      const follow = this.function("follow", {
        handler: code<typeof import("./follow.ts")>(new URL("./follow.ts", import.meta.url)),
        when: consumed(orders, { batch: 500, window: "5 seconds", from: "earliest" }),
        links: { orders: claim(orders), done: produce(done) },
        timeout: "50 seconds",
        failures,
      });
      this.monitor("alarms", { alarms: [{ part: follow, metric: "lag", above: 10_000 }] });
    }
    this.build();
  }
}

const config = new Config("millrace");

/** Clouds that take new secrets. */
const clouds: Readonly<Record<string, () => Promise<Cloud>>> = {
  alicloud: async () =>
    (await import("../../../../lib/clouds/alicloud/index.ts")).alicloud({
      region: config.require("region"),
      contactGroups: [],
      kmsInstance: { id: "kst-1", key: "key-1" },
    }),
  aws: async () =>
    (await import("../../../../lib/clouds/aws/index.ts")).aws({
      region: config.require("region"),
      alarmEmails: [],
      network: { endpoints: ["sqs", "secretsmanager"] },
    }),
  kubernetes: async () =>
    (await import("../../../../lib/clouds/kubernetes/index.ts")).kubernetes({
      nats: config.requireObject<NatsSettings>("nats"),
      store: config.requireObject<StoreSettings>("store"),
      storageClass: "nfs",
      alarms: "none",
    }),
};

/** A Kafka for each cloud that makes topics. */
const kafkas: Readonly<Record<string, Omit<Kafka, "user">>> = {
  alicloud: { brokers: ["alikafka-post-cn-1.alikafka.aliyuncs.com:9093"], instance: "alikafka_post-cn-1" },
  aws: {
    brokers: ["b-1-public.shop.a1.c2.kafka.us-east-1.amazonaws.com:9196"],
    instance: "arn:aws:kafka:us-east-1:123456789012:cluster/shop/751d2973-a626-431c-9d4e-d7975eb44dd7-2",
  },
};

const cloud = await clouds[config.require("cloud")]!();
new Parts(cloud, kafkas[config.require("cloud")]);

export const millrace = cloud.output;
