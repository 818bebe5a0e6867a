import { Config } from "@pulumi/pulumi";
import type { Existing as OnAlicloud } from "../lib/clouds/alicloud/index.ts";
import type { Existing as OnAws } from "../lib/clouds/aws/index.ts";
import type { NatsSettings, Existing as OnKubernetes, StoreSettings } from "../lib/clouds/kubernetes/index.ts";

const config = new Config("millrace");

/** What you have already, as `millrace:existing` says: a network, a namespace. */
function existing<Existing>(): { readonly existing?: Existing } {
  const given = config.getObject<Existing>("existing");
  return given ? { existing: given } : {};
}

/** The clouds by their names; of each, only the one that is asked for is loaded. */
const clouds = {
  local: async () => (await import("../lib/clouds/local/index.ts")).local(),
  alicloud: async () =>
    (await import("../lib/clouds/alicloud/index.ts")).alicloud({
      region: config.require("region"),
      contactGroups: config.requireObject<string[]>("contactGroups"),
      ...existing<OnAlicloud>(),
    }),
  aws: async () =>
    (await import("../lib/clouds/aws/index.ts")).aws({
      region: config.require("region"),
      alarmEmails: config.requireObject<string[]>("alarmEmails"),
      ...existing<OnAws>(),
    }),
  kubernetes: async () => {
    const [namespace, storageClass] = [config.get("namespace"), config.get("storageClass")];
    return (await import("../lib/clouds/kubernetes/index.ts")).kubernetes({
      nats: config.requireObject<NatsSettings>("nats"),
      store: config.requireObject<StoreSettings>("store"),
      alarms: config.require<"prometheus-operator" | "none">("alarms"),
      ...(namespace !== undefined && { namespace }),
      ...(storageClass !== undefined && { storageClass }),
      ...existing<OnKubernetes>(),
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
