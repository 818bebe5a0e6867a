import { at, type Inputs, type Rules, rules, type Service } from "./service.ts";

/**
 * Kubernetes' provider: what the API server refuses of names, labels and times, and what cannot be changed of an
 * object. Whole manifests are for a real API server.
 *
 * @see https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
 * @see https://github.com/pulumi/pulumi-kubernetes/blob/master/provider/pkg/provider/diff.go
 */
export const service: Service = {
  types: {
    "kubernetes:core/v1:Namespace": object([]),
    "kubernetes:core/v1:Service": object(["spec.clusterIP"]),
    "kubernetes:core/v1:ServiceAccount": object([]),
    "kubernetes:core/v1:ConfigMap": object([], (all) => all.must("data", "texts", areTexts)),
    "kubernetes:core/v1:Secret": object(["type"], (all) => all.must("stringData", "texts", areTexts)),
    "kubernetes:core/v1:PersistentVolumeClaim": object(
      ["spec.accessModes", "spec.storageClassName", "spec.selector", "spec.volumeName"],
      (all) => {
        const modes = ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"];
        all
          .must("spec.accessModes", modes.join(), (given: readonly string[]) =>
            given.every((one) => modes.includes(one)),
          )
          .must("spec.resources.requests.storage", "a quantity such as 100Gi", isQuantity);
      },
    ),
    "kubernetes:apps/v1:Deployment": object(["spec.selector"], (all) => {
      all.must("spec.replicas", "0 or more", (replicas: number) => replicas >= 0);
      checkPod(all, "spec.template");
      const { matchLabels } = (all.value("spec.selector") ?? {}) as { readonly matchLabels?: Inputs };
      const labels = (all.value("spec.template.metadata.labels") ?? {}) as Inputs;
      for (const [name, value] of Object.entries(matchLabels ?? {})) {
        if (labels[name] !== value)
          all.refuse(`spec.selector.matchLabels.${name}`, value, `the template's ${labels[name]}`);
      }
    }),
    "kubernetes:batch/v1:Job": object(["spec.template", "spec.selector", "spec.completions"], checkJob("spec")),
    "kubernetes:batch/v1:CronJob": object([], (all) => {
      all
        .matches("metadata.name", /^.{1,52}$/, "at most 52 characters: its Jobs are named after it")
        .matches("spec.schedule", /^(@(yearly|monthly|weekly|daily|hourly)|(\S+ ){4}\S+)$/, "five fields")
        .oneOf("spec.concurrencyPolicy", ["Allow", "Forbid", "Replace"])
        .must("spec.timeZone", "a zone such as Europe/Berlin", (zone: string) =>
          ["UTC", "Etc/UTC", ...Intl.supportedValuesOf("timeZone")].includes(zone),
        );
      checkJob("spec.jobTemplate.spec")(all);
    }),
    "kubernetes:networking.k8s.io/v1:NetworkPolicy": object([]),
    "kubernetes:policy/v1:PodDisruptionBudget": object([]),
    "kubernetes:rbac.authorization.k8s.io/v1:Role": object([], (all) =>
      all.each("rules", (rule) => {
        for (const field of ["apiGroups", "resources", "verbs"]) {
          rule.must(field, "names, and no *", (names: readonly string[]) => names.length > 0 && !names.includes("*"));
        }
      }),
    ),
    "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding": object(["roleRef"]),
    "kubernetes:keda.sh/v1alpha1:ScaledObject": object([], (all) => {
      all
        .must("spec.minReplicaCount", "0 or more", (count: number) => count >= 0)
        .must("spec.maxReplicaCount", "1 or more", (count: number) => count >= 1)
        .must("spec.triggers", "at least one", (triggers: readonly unknown[]) => triggers.length > 0)
        .each("spec.triggers", (trigger) => trigger.must("metadata", "texts, numbers too", areTexts));
    }),
    "kubernetes:keda.sh/v1alpha1:TriggerAuthentication": object([], (all) =>
      all.each("spec.secretTargetRef", (reference) => {
        reference.names("", ["parameter", "name", "key"]);
        for (const field of ["parameter", "name", "key"]) {
          if (!reference.has(field)) reference.refuse(field, null, "a value: it is required");
        }
      }),
    ),
    // What is in them is Argo's business: https://argo-workflows.readthedocs.io/en/latest/fields/
    "kubernetes:argoproj.io/v1alpha1:WorkflowTemplate": object([], (all) => {
      const templates = (all.value("spec.templates") ?? []) as readonly { readonly name: string }[];
      const names = templates.map(({ name }) => name);
      all
        .oneOf("spec.entrypoint", names)
        .must("spec", "at most 1 MiB", (spec: object) => JSON.stringify(spec).length <= 2 ** 20)
        .each("spec.templates", (template) => {
          template.matches("name", /^[A-Za-z0-9][A-Za-z0-9-]{0,127}$/);
          for (const group of (template.value("steps") ?? []) as readonly (readonly Inputs[])[]) {
            for (const step of group) template.inside("steps", step, (rules) => rules.oneOf("template", names));
          }
        });
    }),
    "kubernetes:kafka.strimzi.io/v1beta2:KafkaTopic": object(["spec.topicName"], (all) => {
      all
        .range("spec.partitions", 1, 2 ** 31 - 1)
        .range("spec.replicas", 1, 32_767)
        .must("spec.config", "numbers, texts, true or false", (config: object) =>
          Object.values(config).every((value) => ["string", "number", "boolean"].includes(typeof value)),
        );
      const { "strimzi.io/cluster": cluster } = (all.value("metadata.labels") ?? {}) as Inputs;
      if (cluster === undefined) all.refuse("metadata.labels", null, "strimzi.io/cluster, or no operator looks at it");
    }),
    "kubernetes:monitoring.coreos.com/v1:PrometheusRule": object([]),
  },
  invokes: {},
  check: (type, ...args) => rules((all) => checkMetadata(all, type))(...args),
  deletesFirst: true,
};

/** A type of objects, found by namespace and name. */
function object(fixed: readonly string[], check: (all: Rules) => void = () => {}): Service["types"][string] {
  return {
    required: ["metadata.name"],
    replaces: ["metadata.name", "metadata.namespace", ...fixed],
    id: (inputs) => [at(inputs, "metadata.namespace"), at(inputs, "metadata.name")].filter(Boolean).join("/"),
    check: rules(check),
    outputs: (_, made) => ({ status: { observedGeneration: made } }),
  };
}

const areTexts = (values: object): boolean => Object.values(values).every((value) => typeof value === "string");
const isQuantity = (text: string): boolean => /^\d+(\.\d+)?([KMGTPE]i|[mkMGTPE])?$/.test(text);

const LABEL = /^([A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?)?$/;
const LABEL_NAME = /^([a-z0-9.-]{1,253}\/)?[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?$/;

/** What is in a host's name, between its dots. */
const WORD = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?";
const NAME = new RegExp(`^${WORD}$`);
const DOTTED_NAME = new RegExp(`^(?=.{1,253}$)${WORD}(\\.${WORD})*$`);

function checkMetadata(all: Rules, type: string): void {
  // Most may have dots in their names; of ours only a Secret has, as Argo Workflows looks for it:
  // https://argo-workflows.readthedocs.io/en/latest/manually-create-secrets/
  if (type.endsWith(":Secret")) all.matches("metadata.name", DOTTED_NAME, "up to 253 of a-z, 0-9, - and single dots");
  else all.matches("metadata.name", NAME, "1 to 63 of a-z, 0-9 and -, no - at its ends");
  all.matches("metadata.namespace", NAME);
  for (const field of ["metadata.labels", "spec.template.metadata.labels", "spec.selector.matchLabels"]) {
    all.must(field, "names and values of at most 63 letters, digits, -, _ and .", (labels: object) =>
      Object.entries(labels).every(([name, value]) => LABEL_NAME.test(name) && LABEL.test(value as string)),
    );
  }
}

function checkJob(spec: string): (all: Rules) => void {
  return (all) => {
    all
      .must(`${spec}.backoffLimit`, "0 or more", (limit: number) => limit >= 0)
      .must(`${spec}.activeDeadlineSeconds`, "1 or more", (seconds: number) => seconds >= 1)
      .oneOf(`${spec}.template.spec.restartPolicy`, ["Never", "OnFailure"]);
    checkPod(all, `${spec}.template`);
  };
}

function checkPod(all: Rules, template: string): void {
  for (const field of ["initContainers", "containers"]) {
    all.each(`${template}.spec.${field}`, (container) => {
      container
        .matches("name", /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/)
        .matches("image", /^\S+$/)
        .must("command", "texts", areTexts)
        .must("args", "texts", areTexts)
        .each("env", (variable) => {
          variable
            .matches("name", /^[A-Za-z_.-][\w.-]*$/)
            .must("value", "a text", (value: unknown) => typeof value === "string");
        })
        .must("resources.requests", "quantities", (all: object) =>
          Object.values(all).every((one) => isQuantity(String(one))),
        )
        .must("resources.limits", "quantities", (all: object) =>
          Object.values(all).every((one) => isQuantity(String(one))),
        )
        .each("volumeMounts", (mount) => mount.matches("mountPath", /^\/[^:]*$/, "a path from /, without :"));
    });
  }
}
