import type * as kubernetes from "@pulumi/kubernetes";

type PolicyRule = kubernetes.types.input.rbac.v1.PolicyRule;

/**
 * All a keeper may do: read the template of its Jobs, make, follow and delete Jobs, and see which pods are left of them.
 * That `create` knows no names is why a keeper is the only one to have it, in a namespace of the stack's own.
 *
 * @param job name of the suspended CronJob
 * @see https://kubernetes.io/docs/reference/access-authn-authz/rbac/#referring-to-resources
 */
export const keeperRules = (job: string): PolicyRule[] => [
  { apiGroups: ["batch"], resources: ["cronjobs"], resourceNames: [job], verbs: ["get"] },
  { apiGroups: ["batch"], resources: ["jobs"], verbs: ["create", "get", "list", "watch", "delete"] },
  { apiGroups: [""], resources: ["pods"], verbs: ["list"] },
];

/** What it takes to read the logs of runs with `millrace/client/kubernetes` or `kubectl`. */
export const LOG_READER_RULES: PolicyRule[] = [
  { apiGroups: [""], resources: ["pods"], verbs: ["list"] },
  { apiGroups: [""], resources: ["pods/log"], verbs: ["get"] },
];
