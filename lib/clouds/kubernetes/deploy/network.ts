import * as kubernetes from "@pulumi/kubernetes";
import type * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import { labelValue, OBJECT_NAME } from "./names.ts";
import type { Site } from "./shared.ts";

/** Kubernetes asks a pod here whether it is well. */
export const HEALTH_PORT = 8080;

/** A way out of a pod. */
export type Way = kubernetes.types.input.networking.v1.NetworkPolicyEgressRule;

/** Where pods may connect to, where the urls do not say it. */
export interface NetworkSettings {
  /** The way to NATS. @default what its url names: a service's namespace, an address, or any address; its port */
  readonly nats?: Way;
  /** The way to the store; behind a service it is the port of the store's pods. @default what its url names */
  readonly store?: Way;
  /** The way to the API server, for keepers and the pods of workflows. @default ports 443 and 6443 of any address */
  readonly api?: Way;
  /** Other places that the code of functions speaks with. @default none */
  readonly others?: readonly Way[];
}

/**
 * Cuts the stack's pods off: nobody may connect to them but for their health, and they to DNS, NATS and the store.
 *
 * @see https://kubernetes.io/docs/concepts/services-networking/network-policies/
 */
export function isolate(site: Site): void {
  const { network = {}, nats, store, existing } = site.settings;
  const ours = { matchLabels: { "app.kubernetes.io/part-of": site.prefix } };
  // In a namespace of the user's there may be others.
  const everybody = existing?.namespace === undefined ? {} : ours;
  policy(site, "deny", { podSelector: everybody, policyTypes: ["Ingress", "Egress"] });
  policy(site, "allow", {
    podSelector: ours,
    policyTypes: ["Ingress", "Egress"],
    ingress: [{ ports: [{ protocol: "TCP", port: HEALTH_PORT }] }],
    egress: [
      DNS,
      ...(network.nats ? [network.nats] : nats.url.split(",").map((url) => wayTo(url, 4222))),
      network.store ?? wayTo(store.insideEndpoint ?? store.endpoint),
      ...(network.others ?? []),
    ],
  });
}

/** The one way more that keepers have, and pods whose ends are told to Argo. */
export const apiPolicy = (
  site: Site,
  part: string,
  name: string,
  matchLabels: Readonly<Record<string, string>>,
  options: pulumi.CustomResourceOptions,
) =>
  site.make(
    kubernetes.networking.v1.NetworkPolicy,
    `${part}-network`,
    {
      metadata: site.metadata(name, part),
      spec: {
        podSelector: { matchLabels },
        policyTypes: ["Egress"],
        egress: [site.settings.network?.api ?? API_SERVER],
      },
    },
    options,
  );

/** The ways more of a function's pods: to the stores of other clouds that it is linked to. */
export const linksPolicy = (site: Site, scope: Scope, endpoints: readonly string[]) =>
  site.make(
    kubernetes.networking.v1.NetworkPolicy,
    `${scope.name}-network`,
    {
      metadata: site.metadata(scope.physicalName(OBJECT_NAME, scope.name, "network"), scope.name),
      spec: {
        podSelector: { matchLabels: site.labels(scope.name) },
        policyTypes: ["Egress"],
        egress: endpoints.map((url) => wayTo(url)),
      },
    },
    scope.options,
  );

const policy = (site: Site, id: string, spec: kubernetes.types.input.networking.v1.NetworkPolicySpec) =>
  site.make(
    kubernetes.networking.v1.NetworkPolicy,
    `${site.name}-network-${id}`,
    { metadata: site.metadata(site.physicalName(`${site.name}-network-${id}`, OBJECT_NAME), "network"), spec },
    site.shared,
  );

const DNS: Way = {
  ports: [
    { protocol: "UDP", port: 53 },
    { protocol: "TCP", port: 53 },
  ],
};

/** Policies know no services: what stands behind `kubernetes.default` differs from cluster to cluster. */
const API_SERVER: Way = {
  ports: [
    { protocol: "TCP", port: 443 },
    { protocol: "TCP", port: 6443 },
  ],
};

/**
 * The pods of the namespace that a service's name tells, one address, or, for any other name, any address: policies
 * know no names.
 */
export function wayTo(url: string, usual?: number): Way {
  const { hostname, port, protocol } = new URL(url);
  const ports = [{ protocol: "TCP", port: Number(port) || (usual ?? (protocol === "https:" ? 443 : 80)) }];
  // Without its svc it might be a name of any network, as minio.local is.
  const [, namespace] = /^[a-z0-9-]+\.([a-z0-9-]+)\.svc(?:\..+)?$/.exec(hostname) ?? [];
  if (/^[\d.]+$/.test(hostname)) return { ports, to: [{ ipBlock: { cidr: `${hostname}/32` } }] };
  if (hostname.startsWith("[")) return { ports, to: [{ ipBlock: { cidr: `${hostname.slice(1, -1)}/128` } }] };
  if (!hostname.includes(".")) return { ports, to: [{ podSelector: {} }] };
  if (namespace === undefined) return { ports };
  return {
    ports,
    to: [{ namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": labelValue(namespace) } } }],
  };
}
