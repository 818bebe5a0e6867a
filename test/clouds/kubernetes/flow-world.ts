import type { FlowPod, FlowWorld } from "../../../lib/clouds/kubernetes/deploy/flow-definition.ts";

const LOCKED = { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ["ALL"] } };
const MACHINE = { cpu: "100m", memory: "128Mi", "ephemeral-storage": "1Gi" };

/** A pod as `podSpec` makes them. */
const pod = (name: string, timeout?: number): FlowPod => ({
  labels: { "app.kubernetes.io/component": name },
  ...(timeout !== undefined && { timeout }),
  spec: {
    serviceAccountName: name,
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    securityContext: { runAsNonRoot: true, runAsUser: 1000, fsGroup: 1000, seccompProfile: { type: "RuntimeDefault" } },
    terminationGracePeriodSeconds: 30,
    restartPolicy: "Never",
    initContainers: [
      {
        name: "bootstrap",
        image: "docker.io/library/node:24-slim",
        command: ["node", "/millrace/bootstrap/bootstrap.mjs"],
        env: [{ name: "MILLRACE_FETCH", value: "{}" }],
        resources: { requests: MACHINE, limits: MACHINE },
        securityContext: LOCKED,
        volumeMounts: [{ name: "app", mountPath: "/millrace/app" }],
      },
    ],
    containers: [
      {
        name: "main",
        image: "docker.io/library/node:24-slim",
        command: ["node", "/millrace/app/code/index.mjs"],
        env: [
          { name: "MILLRACE_PART", value: name },
          { name: "NATS_USER", valueFrom: { secretKeyRef: { name: "nats", key: "user", optional: true } } },
        ],
        resources: { requests: MACHINE, limits: MACHINE },
        securityContext: LOCKED,
        volumeMounts: [
          { name: "app", mountPath: "/millrace/app", readOnly: true },
          { name: "tmp", mountPath: "/tmp" },
        ],
      },
    ],
    volumes: [
      { name: "app", emptyDir: { sizeLimit: "1Gi" } },
      { name: "tmp", emptyDir: { sizeLimit: "16Mi" } },
    ],
  },
});

/** What the steps of a workflow are done by, in tests: pods that say whose they are in `MILLRACE_PART`. */
export const flowWorld = (name: string, namespace?: string): FlowWorld => ({
  name,
  ...(namespace !== undefined && { namespace }),
  labels: { "app.kubernetes.io/managed-by": "millrace" },
  executor: "flows",
  timeout: 3600,
  kept: 86_400,
  function: (part) => pod(`function-${part}`, 60),
  task: (part) => pod(`task-${part}`),
  ask: (kind, part) => pod(`ask-${kind}-${part}`),
  failed: pod("failed", 60),
});
