/** What we use of Argo's WorkflowTemplate. https://argo-workflows.readthedocs.io/en/latest/fields/ */
export interface ArgoWorkflowTemplate {
  readonly apiVersion: "argoproj.io/v1alpha1";
  readonly kind: "WorkflowTemplate";
  readonly metadata: ArgoMetadata & { readonly name: string; readonly namespace?: string };
  readonly spec: ArgoSpec;
}

export interface ArgoMetadata {
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface ArgoSpec {
  readonly entrypoint: string;
  readonly arguments: { readonly parameters: readonly { readonly name: string }[] };
  readonly activeDeadlineSeconds: number;
  readonly serviceAccountName: string;
  readonly automountServiceAccountToken: false;
  readonly executor: { readonly serviceAccountName: string };
  readonly ttlStrategy: { readonly secondsAfterCompletion: number };
  readonly podGC: { readonly strategy: "OnWorkflowSuccess" };
  readonly imagePullSecrets?: readonly { readonly name: string }[];
  readonly templates: readonly ArgoTemplate[];
}

export interface ArgoTemplate {
  readonly name: string;
  readonly inputs?: { readonly parameters: readonly { readonly name: string }[] };
  readonly outputs?: { readonly parameters: readonly ArgoOutput[] };
  /** Groups one after the other, what is in a group at once. */
  readonly steps?: readonly (readonly ArgoStep[])[];
  /** Of its steps, or of the items of one, at once. */
  readonly parallelism?: number;
  readonly suspend?: { readonly duration: string };
  readonly container?: ArgoContainer;
  readonly initContainers?: readonly object[];
  readonly volumes?: readonly object[];
  readonly securityContext?: object;
  readonly affinity?: object;
  readonly serviceAccountName?: string;
  readonly automountServiceAccountToken?: boolean;
  readonly activeDeadlineSeconds?: number;
  readonly retryStrategy?: ArgoRetryStrategy;
  readonly podSpecPatch?: string;
  readonly metadata?: ArgoMetadata;
}

export interface ArgoOutput {
  readonly name: string;
  readonly globalName?: string;
  readonly valueFrom: { readonly expression: string } | { readonly path: string; readonly default: string };
}

export interface ArgoStep {
  readonly name: string;
  readonly template: string;
  readonly arguments?: { readonly parameters: readonly ArgoArgument[] };
  readonly when?: string;
  readonly withParam?: string;
  readonly continueOn?: { readonly failed: true; readonly error: true };
}

export interface ArgoArgument {
  readonly name: string;
  readonly value: string;
}

export interface ArgoContainer {
  readonly image: string;
  readonly command: readonly string[];
  readonly env: readonly object[];
  readonly [field: string]: unknown;
}

export interface ArgoRetryStrategy {
  /** Attempts after the first. */
  readonly limit: number;
  readonly retryPolicy: "Always";
  readonly backoff: { readonly duration: string; readonly factor: number; readonly cap: string };
}
