import { DEFAULT_TOOLS, toolSource } from "../../../bundle/tool.ts";
import { checkLag } from "../../../parts/check.ts";
import type { Part } from "../../../parts/part.ts";
import type { AlarmPlan, FunctionPlan, MonitorPlan, PartKind, PartPlan, VolumePlan } from "../../../parts/plan.ts";
import type { Problem } from "../../../shared/problem.ts";
import { checkStream, checkStreamsOf } from "./check-streams.ts";
import { checkWorkflow } from "./check-workflow.ts";
import { failureQueue } from "./monitor.ts";
import { checkPrograms } from "./program.ts";
import type { KubernetesSettings } from "./shared.ts";

type Find = (name: string) => PartPlan | undefined;

/** What only this cloud refuses, and no bound in its support data can say. */
export const checkKubernetes = (settings: KubernetesSettings, parts: readonly Part[], find: Find): readonly Problem[] =>
  parts.flatMap(({ plan }) => [...checkPart(settings, plan, find), ...checkExisting(plan)]);

function checkPart(settings: KubernetesSettings, plan: PartPlan, find: Find): readonly Problem[] {
  switch (plan.kind) {
    case "bucket":
      return checkBucket(settings, plan);
    case "function":
      return [...checkTools(settings, plan), ...checkPrograms(plan, find), ...checkStreamsOf(plan)];
    case "volume":
      return checkVolume(settings, plan);
    case "monitor":
      return [...checkAlarms(settings, plan, find), ...checkLag(plan, find)];
    case "stream":
      return checkStream(plan);
    case "workflow":
      return checkWorkflow(plan, find);
    default:
      return [];
  }
}

/** What is wrong with the settings themselves, whatever is built. */
export const checkSettings = ({
  nats,
  store,
  namespace,
  existing,
  cluster,
}: KubernetesSettings): readonly Problem[] => [
  ...matches(
    "kubernetes.nats.url",
    nats.url,
    /^(?:nats|tls):\/\/[^/,]+(?:,(?:nats|tls):\/\/[^/,]+)*$/,
    "nats://host:port",
  ),
  ...matches("kubernetes.nats.monitoring", nats.monitoring, /^[^/:]+:\d+$/, "host:port"),
  ...(nats.keys !== undefined && nats.secret !== undefined
    ? [
        {
          path: "kubernetes.nats.keys",
          message: "are said already by the Secret that nats.secret names: give one of them",
        },
      ]
    : []),
  ...((nats.replicas ?? 1) > 1 && nats.monitoring === undefined
    ? [
        {
          path: "kubernetes.nats.monitoring",
          message:
            'KEDA asks every server of a cluster by its own name: name the headless service, such as "nats-headless.nats.svc.cluster.local:8222"',
        },
      ]
    : []),
  ...matches("kubernetes.store.endpoint", store.endpoint, ENDPOINT, "https://host:port, without a path"),
  ...matches("kubernetes.store.insideEndpoint", store.insideEndpoint, ENDPOINT, "http://host:port, without a path"),
  ...matches("kubernetes.store.region", store.region, /^[\w-]+$/, "letters, digits, - and _"),
  ...matches("kubernetes.namespace", namespace, LABEL, "up to 63 lower-case letters, digits and -"),
  ...matches("kubernetes.existing.namespace", existing?.namespace, LABEL, "up to 63 lower-case letters, digits and -"),
  ...matches("kubernetes.cluster", cluster, LABEL, "up to 63 lower-case letters, digits and -"),
  ...matches(
    "kubernetes.store.notifications.subject",
    store.notifications?.subject,
    /^[\w-]+(?:\.[\w-]+)*$/,
    "tokens without wildcards, with dots between them",
  ),
  ...(store.secret === undefined && store.keys === undefined
    ? [
        {
          path: "kubernetes.store",
          message: "pods have the store's keys from a Secret: name yours by secret, or give keys to make one of",
        },
      ]
    : []),
];

const ENDPOINT = /^https?:\/\/[^/\s]+\/?$/;
/** https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-label-names */
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

const matches = (path: string, given: string | undefined, form: RegExp, allowed: string): readonly Problem[] =>
  given === undefined || form.test(given) ? [] : [{ path, message: "not what is wanted there", given, allowed }];

/** What an existing part's name has to look like, by what it names. */
const EXISTING: Readonly<Partial<Record<PartKind, readonly [form: RegExp, allowed: string]>>> = {
  queue: [/^[\w-]+$/, "a stream of NATS whose one subject has its name, with a durable consumer named receivers"],
  table: [/^[\w-]+$/, "a key-value bucket of NATS"],
  volume: [LABEL, "a PersistentVolumeClaim of the namespace"],
  stream: [/^[\w.-]{1,249}$/, "a topic of the Kafka"],
  secret: [
    /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?:\/[\w.-]+)?$/,
    "a Secret of the namespace, and after / its key where that is not value",
  ],
};

function checkExisting({ kind, name, existing }: PartPlan): readonly Problem[] {
  const [form, allowed] = EXISTING[kind] ?? [/./, ""];
  return matches(`${name}.existing`, existing, form, allowed);
}

function checkBucket({ store }: KubernetesSettings, plan: PartPlan & { readonly kind: "bucket" }): readonly Problem[] {
  if (plan.expires === undefined || store.lifecycle !== false) return [];
  return [
    {
      path: `${plan.name}.expires`,
      message: "objects are removed by the store's lifecycle rules, and yours keeps none: store.lifecycle is false",
    },
  ];
}

const checkTools = ({ tools }: KubernetesSettings, plan: FunctionPlan): readonly Problem[] =>
  plan.tools
    .filter((tool) => toolSource(tool, tools) === undefined)
    .map((tool) => ({
      path: `${plan.name}.tools`,
      message: `nobody says where "${tool}" comes from: kubernetes({ tools: { "${tool}": { url, sha256 } } })`,
      allowed: `${Object.keys(DEFAULT_TOOLS).join(", ")}, and what the cloud's settings name`,
    }));

function checkVolume({ storageClass, existing }: KubernetesSettings, plan: VolumePlan): readonly Problem[] {
  if (plan.existing !== undefined) return [];
  return [
    ...(storageClass === undefined
      ? [
          {
            path: plan.name,
            message:
              'a volume has many writers at once: name a storage class that allows them (ReadWriteMany) by kubernetes({ storageClass: "nfs" }), or a claim you have by existing',
          },
        ]
      : []),
    ...(!plan.removable && existing?.namespace === undefined
      ? [
          {
            path: `${plan.name}.removable`,
            message:
              "a claim goes with its namespace, and that goes with the stack: name a namespace of yours by kubernetes({ existing: { namespace } }), or say removable: true",
            given: false,
          },
        ]
      : []),
  ];
}

function checkAlarms({ alarms: keeper }: KubernetesSettings, plan: MonitorPlan, find: Find): readonly Problem[] {
  if (plan.alarms.length === 0 || keeper === "none") return [];
  if (keeper === undefined) {
    return [
      {
        path: `${plan.name}.alarms`,
        message:
          'alarms are rules of a Prometheus that you run: kubernetes({ alarms: "prometheus-operator" }), or alarms: "none" for none',
      },
    ];
  }
  return plan.alarms.flatMap((alarm, index) => checkAlarm(`${plan.name}.alarms[${index}]`, alarm, find));
}

function checkAlarm(path: string, { part, metric }: AlarmPlan, find: Find): readonly Problem[] {
  if (metric === "age" || metric === "duration") {
    const message = "nobody tells Prometheus such a number";
    return [{ path: `${path}.metric`, message, given: metric, allowed: "failures, messages, lag" }];
  }
  const plan = find(part);
  if (metric !== "failures" || plan?.kind !== "task" || failureQueue(plan) !== undefined) return [];
  return [
    {
      path,
      message: `failures are counted in the queue that gets them, and ${part} has none: give it onFailure`,
      given: metric,
    },
  ];
}
