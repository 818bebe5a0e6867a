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

/**
 * All a workflow's keeper may do: make Workflows, follow them and end them. That `create` knows no names is why keepers are
 * the only ones to have it: whoever makes a Workflow may run anything in the namespace, as any of its accounts.
 */
export const FLOW_KEEPER_RULES: PolicyRule[] = [
  { apiGroups: ["argoproj.io"], resources: ["workflows"], verbs: ["create", "get", "list", "watch", "patch"] },
];

/** What it takes to tell Argo how a pod ended. https://argo-workflows.readthedocs.io/en/latest/workflow-rbac/ */
export const FLOW_EXECUTOR_RULES: PolicyRule[] = [
  { apiGroups: ["argoproj.io"], resources: ["workflowtaskresults"], verbs: ["create", "patch"] },
];

/** What it takes to read the logs of runs with `millrace/client/kubernetes` or `kubectl`. */
export const LOG_READER_RULES: PolicyRule[] = [
  { apiGroups: [""], resources: ["pods"], verbs: ["list"] },
  { apiGroups: [""], resources: ["pods/log"], verbs: ["get"] },
];
