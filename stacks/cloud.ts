import { Config } from "@pulumi/pulumi";
import type { NatsSettings, StoreSettings } from "../lib/clouds/kubernetes/index.ts";

const config = new Config("millrace");

/** The clouds by their names; of each, only the one that is asked for is loaded. */
const clouds = {
  local: async () => (await import("../lib/clouds/local/index.ts")).local(),
  alicloud: async () =>
    (await import("../lib/clouds/alicloud/index.ts")).alicloud({
      region: config.require("region"),
      contactGroups: config.requireObject<string[]>("contactGroups"),
    }),
  aws: async () =>
    (await import("../lib/clouds/aws/index.ts")).aws({
      region: config.require("region"),
      alarmEmails: config.requireObject<string[]>("alarmEmails"),
    }),
  kubernetes: async () => {
    const namespace = config.get("namespace");
    return (await import("../lib/clouds/kubernetes/index.ts")).kubernetes({
      nats: config.requireObject<NatsSettings>("nats"),
      store: config.requireObject<StoreSettings>("store"),
      alarms: config.require<"prometheus-operator" | "none">("alarms"),
      ...(namespace !== undefined && { namespace }),
    });
  },
};

/** The cloud that `millrace:cloud` names: this computer by default. */
export async function chosenCloud() {
  const name = config.get<keyof typeof clouds>("cloud") ?? "local";
  const choose = clouds[name];
  if (!choose) throw new Error(`millrace:cloud: one of ${Object.keys(clouds).join(", ")}, got "${name}"`);
  return choose();
}
