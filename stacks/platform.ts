import * as kubernetes from "@pulumi/kubernetes";
import { Config, interpolate } from "@pulumi/pulumi";

/*
 * What a cluster needs before the other stacks can go there, for who has none of it: KEDA, NATS with JetStream, Argo
 * Workflows for constructs with a workflow and, for `kubernetes({ kueue })`, Kueue. A store that speaks S3 is yours to choose.
 */
const release = (name: string, args: Omit<kubernetes.helm.v3.ReleaseArgs, "createNamespace" | "atomic">) =>
  new kubernetes.helm.v3.Release(name, { name, createNamespace: true, atomic: true, ...args });

const config = new Config("millrace");

/** https://keda.sh/docs/latest/deploy/#helm */
release("keda", {
  namespace: "keda",
  chart: "keda",
  version: "2.21.0",
  repositoryOpts: { repo: "https://kedacore.github.io/charts" },
});

const natsNamespace = new kubernetes.core.v1.Namespace("nats", { metadata: { name: "nats" } });

/** Whoever knows it may do all that pods of ours do there. In quotes, or NATS might take it for a number. */
const natsToken = new kubernetes.core.v1.Secret("nats-token", {
  metadata: { name: "nats-token", namespace: natsNamespace.metadata.name },
  stringData: { token: interpolate`"${config.requireSecret("natsToken")}"` },
});

/** Delays want NATS 2.12 or later. https://github.com/nats-io/k8s/tree/main/helm/charts/nats */
release("nats", {
  namespace: natsNamespace.metadata.name,
  chart: "nats",
  version: "2.14.2",
  repositoryOpts: { repo: "https://nats-io.github.io/k8s/helm/charts/" },
  values: {
    config: {
      cluster: { enabled: true, replicas: 3 },
      jetstream: { enabled: true, fileStore: { enabled: true, pvc: { enabled: true, size: "20Gi" } } },
      merge: { authorization: { token: "<< $TOKEN >>" } },
    },
    container: {
      env: { TOKEN: { valueFrom: { secretKeyRef: { name: natsToken.metadata.name, key: "token" } } } },
    },
    // Copies on one node would go together.
    podTemplate: {
      topologySpreadConstraints: { "kubernetes.io/hostname": { maxSkew: 1, whenUnsatisfiable: "ScheduleAnyway" } },
    },
    // What alarms are made of.
    promExporter: { enabled: true, podMonitor: { enabled: config.get("alarms") === "prometheus-operator" } },
  },
});

/** https://github.com/argoproj/argo-helm/tree/main/charts/argo-workflows */
release("argo-workflows", {
  namespace: "argo",
  chart: "argo-workflows",
  version: "2.0.1",
  repositoryOpts: { repo: "https://argoproj.github.io/argo-helm" },
  values: {
    server: { enabled: false },
    // Workflows of ours bring their own accounts.
    workflow: { rbac: { create: false } },
    controller: {
      metricsConfig: { enabled: true },
      serviceMonitor: { enabled: config.get("alarms") === "prometheus-operator" },
    },
    // What runs beside each step is let into namespaces that admit as `restricted`.
    executor: {
      securityContext: {
        allowPrivilegeEscalation: false,
        capabilities: { drop: ["ALL"] },
        runAsNonRoot: true,
        seccompProfile: { type: "RuntimeDefault" },
      },
    },
  },
});

/** https://kueue.sigs.k8s.io/docs/installation/#install-by-helm */
release("kueue", {
  namespace: "kueue-system",
  chart: "oci://registry.k8s.io/kueue/charts/kueue",
  version: "0.19.2",
});

/** No plan: there is nothing of ours in it. */
export const millrace = undefined;
