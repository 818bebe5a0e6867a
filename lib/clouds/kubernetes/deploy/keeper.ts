import * as kubernetes from "@pulumi/kubernetes";
import type * as pulumi from "@pulumi/pulumi";
import type { Archive } from "../../../bundle/archive.ts";
import type { Scope } from "../../../parts/cloud.ts";
import { DEFAULTS } from "../../../parts/defaults.ts";
import { budget, deploymentOf } from "./function.ts";
import { apiPolicy } from "./network.ts";
import type { Process } from "./pod.ts";
import type { Site } from "./shared.ts";

type PolicyRule = kubernetes.types.input.rbac.v1.PolicyRule;

/** What a keeper takes nearly always: it is there day and night. */
const AT_REST = { memory: 128 * 2 ** 20, cpu: 0.05 };
/** Seconds in which a keeper finishes what is under way. */
const GRACE = 30;

/** A process that is always there, and the only one that may make what it keeps. */
export interface Keeper {
  /** The logical names of its resources begin so. */
  readonly part: string;
  /** Of its objects. */
  readonly name: string;
  readonly code: Promise<Archive>;
  readonly environment: pulumi.Input<Readonly<Record<string, string>>>;
  readonly rules: PolicyRule[];
  /** What has to be there before it. */
  readonly setup: pulumi.Resource;
}

/** A keeper's Deployment, with the rights that only it has. */
export function keeper(site: Site, scope: Scope, { part, name, code, environment, rules, setup }: Keeper) {
  const artifact = site.upload(code, `code/${name}`, `${part}-code`, scope.options);
  const account = site.account(part, part, scope.options, name);
  const granted = grant(site, scope, { part, name, account, rules });
  const { functionMemory: memory, functionCpu: cpu } = DEFAULTS;
  const process: Process = {
    account,
    hasToken: true,
    code: artifact,
    environment,
    machine: { memory, cpu, disk: 0 },
    atRest: AT_REST,
    grace: GRACE,
    health: "is well",
  };
  return {
    "keeper-deployment": deploymentOf(site, scope, { name, part, process, isScaled: false }, [
      setup,
      granted.binding,
      apiPolicy(site, part, name, site.selector(name), scope.options),
    ]),
    "keeper-role": granted.role,
    "keeper-code": artifact.object,
    "keeper-budget": budget(site, scope, part, name),
  };
}

/** Who may do what, in the stack's namespace. */
export interface Grant {
  readonly part: string;
  readonly name: string;
  readonly account: pulumi.Input<string>;
  readonly rules: PolicyRule[];
}

/** https://kubernetes.io/docs/reference/access-authn-authz/rbac/ */
export function grant(site: Site, scope: Scope, { part, name, account, rules }: Grant) {
  const role = site.make(
    kubernetes.rbac.v1.Role,
    `${part}-role`,
    { metadata: site.metadata(name, part), rules },
    scope.options,
  );
  const binding = site.make(
    kubernetes.rbac.v1.RoleBinding,
    `${part}-role-binding`,
    {
      metadata: site.metadata(name, part),
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: role.metadata.name },
      subjects: [{ kind: "ServiceAccount", name: account, namespace: site.namespace }],
    },
    scope.options,
  );
  return { role, binding };
}
