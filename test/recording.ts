import * as pulumi from "@pulumi/pulumi";
import { SUPPORT } from "../lib/clouds/support.ts";
import { Cloud, type CloudDriver, type CloudSettings, type Scope } from "../lib/parts/cloud.ts";
import type { Built } from "../lib/parts/part.ts";
import type { CloudKind, LinkPlan, PartKind, PartPlan, SourcePlan } from "../lib/parts/plan.ts";
import type { Support } from "../lib/parts/support.ts";
import type { NameRule } from "../lib/shared/name.ts";

/** The project and stack that recorded programs think they are in. */
export const PROJECT = "recording";
export const STACK = "test";

await pulumi.runtime.setMocks(
  {
    newResource: ({ name, inputs }) => ({ id: `${name}-id`, state: inputs }),
    call: ({ token }) => {
      throw new Error(`a recording cloud is asked for nothing, got ${token}`);
    },
  },
  PROJECT,
  STACK,
);

/** One part as it was built. */
export interface Recorded {
  readonly kind: PartKind;
  readonly name: string;
  readonly plan: PartPlan;
}

/** A cloud that builds nothing but remembers everything. */
export class RecordingCloud extends Cloud {
  /** In the order they were built. */
  readonly built: readonly Recorded[];

  constructor(support: Support, settings: CloudSettings = {}) {
    const built: Recorded[] = [];
    super(recordingDriver(support, built, settings), settings);
    this.built = built;
  }
}

/**
 * A cloud with the real limits of its kind.
 *
 * @param changes support data that differs from that of the kind
 */
export function recordingCloud(
  kind: CloudKind = "local",
  { region, account, ...changes }: Partial<Support> & Pick<CloudSettings, "region" | "account"> = {},
): RecordingCloud {
  const settings = { ...(region !== undefined && { region }), ...(account !== undefined && { account }) };
  return new RecordingCloud({ ...SUPPORT[kind], ...changes }, settings);
}

const NAME: NameRule = { max: 63, allowed: /[a-z0-9-]/, lowerCase: true };

function recordingDriver(support: Support, built: Recorded[], settings: CloudSettings): CloudDriver {
  const build = (scope: Scope, plan: PartPlan): Built => {
    built.push({ kind: plan.kind, name: plan.name, plan });
    const physicalName = plan.existing ?? scope.physicalName(NAME);
    const resource = new RecordedResource(plan.kind, scope.name, physicalName, scope.options);
    return { id: resource.physicalName, address: { name: resource.physicalName }, resources: { resource } };
  };
  return {
    kind: support.cloud,
    support,
    buckets: {
      port: `/recording/${support.cloud}.ts`,
      endpoint: `https://${support.cloud}.example.com`,
      address: (bucket) => bucket.address,
      takesRolesOf: (other) => other.plan.kind === support.cloud && other.account === settings.account,
    },
    build: {
      bucket: build,
      queue: build,
      function: build,
      task: build,
      schedule: build,
      secret: build,
      volume: build,
      table: build,
      monitor: build,
      workflow: build,
      stream: build,
    },
  };
}

class RecordedResource extends pulumi.CustomResource {
  declare readonly physicalName: pulumi.Output<string>;

  constructor(kind: PartKind, name: string, physicalName: string, options: pulumi.CustomResourceOptions) {
    super(`recording:index:${kind}`, name, { physicalName }, options);
  }
}

/** What was declared, one line a part: what starts it, what it may do, where its outcomes go. */
export const graphOf = ({ built }: RecordingCloud): readonly string[] => built.map(({ plan }) => lineOf(plan));

function lineOf(plan: PartPlan): string {
  const head = `${plan.kind} ${plan.name}`;
  switch (plan.kind) {
    case "function":
      return [
        head,
        "id" in plan.handler ? plan.handler.id : `user code ${plan.handler.file.split("/").at(-1)}`,
        ...plan.sources.map((source) => `on ${sourceText(source)}`),
        ...Object.entries(plan.links).map(([name, link]) => `${name}: ${linkText(link)}`),
        ...(plan.failures === undefined ? [] : [`failures to ${plan.failures}`]),
      ].join(" | ");
    case "task":
      return [
        head,
        `work ${plan.worker}`,
        `dispatch ${plan.dispatcher}`,
        ...plan.onSuccess.map(({ kind, name }) => `success to ${kind} ${name}`),
        ...plan.onFailure.map(({ kind, name }) => `failure to ${kind} ${name}`),
      ].join(" | ");
    case "queue":
      return plan.deadLetters === undefined ? head : `${head} | after ${plan.attempts} to ${plan.deadLetters}`;
    case "schedule":
      return `${head} | ${"every" in plan.timing ? `every ${plan.timing.every} s` : `${plan.timing.cron} ${plan.timing.timeZone}`}`;
    case "monitor":
      return [
        head,
        ...plan.alarms.map(({ part, metric, above }) => `${part} ${metric} > ${above}`),
        ...plan.notify.map(({ kind, name }) => `to ${kind} ${name}`),
      ].join(" | ");
    default:
      return head;
  }
}

function sourceText(source: SourcePlan): string {
  switch (source.type) {
    case "bucket.created":
      return `bucket.created ${source.bucket} ${source.prefix}*${source.suffix}`;
    case "queue.received":
      return `queue.received ${source.queue} by ${source.batch}`;
    case "schedule.fired":
      return `schedule.fired ${source.schedule}`;
    case "stream.consumed":
      return `stream.consumed ${source.stream} by ${source.batch}`;
  }
}

const linkText = ({ part, actions }: LinkPlan): string => `${actions.join(", ")} ${part}`;

/** The value of an output, once it is known. */
export const known = <Value>(output: pulumi.Output<Value>): Promise<Value> =>
  new Promise((resolve) => output.apply(resolve));
