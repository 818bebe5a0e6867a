import * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { TablePlan } from "../../../parts/plan.ts";
import { setupJob } from "./errand.ts";
import { NATS_NAME } from "./names.ts";
import type { Site } from "./shared.ts";

/**
 * A table: a key-value bucket of NATS. It is kept when the stack is destroyed, removable or not, for it is no resource.
 *
 * @see https://docs.nats.io/nats-concepts/jetstream/key-value-store
 */
export function table(site: Site, scope: Scope, { name, existing }: TablePlan): Built {
  const bucket = existing ?? scope.physicalName(NATS_NAME, name);
  return {
    id: pulumi.output(bucket),
    address: { table: pulumi.output(bucket) },
    resources:
      existing === undefined ? { setup: setupJob(site, scope, { streams: [], consumers: [], tables: [bucket] }) } : {},
  };
}
