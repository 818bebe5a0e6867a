import * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { QueuePlan } from "../../../parts/plan.ts";
import { setupJob } from "./errand.ts";
import { NATS_NAME } from "./names.ts";
import type { Site } from "./shared.ts";

/** The consumer that all who receive from a queue share. */
const RECEIVERS = "receivers";

/** Where a queue lies in NATS. */
export interface QueueAddress {
  readonly stream: string;
  readonly subject: string;
  readonly consumer: string;
}

/**
 * A queue: a stream of NATS whose messages are for one receiver each.
 *
 * @see https://docs.nats.io/nats-concepts/jetstream/streams
 */
export function queue(site: Site, scope: Scope, plan: QueuePlan): Built {
  const address = queueAddress(site, scope, plan.name);
  const { attempts, deadLetters, delay } = plan;
  const resources = plan.existing === undefined ? { setup: setUpQueue(site, scope, plan, address) } : {};
  const texts = {
    ...address,
    ...(attempts !== undefined && { attempts: String(attempts) }),
    ...(deadLetters !== undefined && { deadLetters: queueAddress(site, scope, deadLetters).subject }),
    ...(delay > 0 && { delay: String(delay) }),
  };
  return {
    id: pulumi.output(address.subject),
    address: Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, pulumi.output(text)])),
    resources,
  };
}

/** Where a queue of the stack lies, built or not; an existing one by its stream, of that one subject. */
export function queueAddress(site: Site, scope: Scope, name: string): QueueAddress {
  const { existing } = scope.plan(name);
  if (existing !== undefined) return { stream: existing, subject: existing, consumer: RECEIVERS };
  const physical = scope.physicalName(NATS_NAME, name);
  return { stream: `${site.prefix}-${physical}`, subject: `${site.prefix}.queue.${physical}`, consumer: RECEIVERS };
}

const setUpQueue = (
  site: Site,
  scope: Scope,
  { retention, visibility }: QueuePlan,
  { stream, subject, consumer }: QueueAddress,
) =>
  setupJob(site, scope, {
    streams: [{ name: stream, subjects: [subject], maxAge: retention }],
    consumers: [{ stream, name: consumer, subject, visibility }],
    tables: [],
  });
