import * as kubernetes from "@pulumi/kubernetes";

/*
 * What a cluster needs before the other stacks can go there, for who has none of it: KEDA, NATS with JetStream and, for
 * `kubernetes({ kueue })`, Kueue. A store that speaks S3 is yours to choose.
 */
const release = (name: string, args: Omit<kubernetes.helm.v3.ReleaseArgs, "createNamespace" | "atomic">) =>
  new kubernetes.helm.v3.Release(name, { name, createNamespace: true, atomic: true, ...args });

/** https://keda.sh/docs/latest/deploy/#helm */
release("keda", {
  namespace: "keda",
  chart: "keda",
  version: "2.21.0",
  repositoryOpts: { repo: "https://kedacore.github.io/charts" },
});

/** Delays want NATS 2.12 or later. https://github.com/nats-io/k8s/tree/main/helm/charts/nats */
release("nats", {
  namespace: "nats",
  chart: "nats",
  version: "1.2.8",
  repositoryOpts: { repo: "https://nats-io.github.io/k8s/helm/charts/" },
  values: {
    config: {
      cluster: { enabled: true, replicas: 3 },
      jetstream: { enabled: true, fileStore: { enabled: true, pvc: { enabled: true, size: "20Gi" } } },
    },
    container: { image: { tag: "2.15.2-alpine" } },
    // KEDA asks there how much waits.
    service: { ports: { monitor: { enabled: true } } },
    promExporter: { enabled: true },
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
