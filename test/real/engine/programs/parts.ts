import { Config } from "@pulumi/pulumi";
import type { NatsSettings, StoreSettings } from "../../../../lib/clouds/kubernetes/index.ts";
import {
  type Cloud,
  Construct,
  code,
  created,
  cron,
  every,
  fired,
  mount,
  read,
  received,
  send,
} from "../../../../lib/parts/index.ts";

/** Every part there is, with options the constructs leave alone; what may be removed beside what may not. */
class Parts extends Construct {
  constructor(cloud: Cloud) {
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

const cloud = await clouds[config.require("cloud")]!();
new Parts(cloud);

export const millrace = cloud.output;
