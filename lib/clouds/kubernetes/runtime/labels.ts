import { type AttemptRef, attemptId, type PlatformNameRule, platformName } from "../../../runtime/tasks/ids.ts";
import { shortHash } from "../../../shared/name.ts";
import type { FlowRef } from "./argo.ts";

/** The container of a pod that does the work. */
export const WORKER = "main";

/** The container that fetches what the others run, before them. */
export const BOOTSTRAP = "bootstrap";

/** The labels by which Jobs and pods of attempts are found. */
const LABELS = {
  task: "millrace/task",
  run: "millrace/run",
  attempt: "millrace/attempt",
  tenant: "millrace/tenant",
  flow: "millrace/flow",
} as const;

/** https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set */
const LABEL_VALUE: PlatformNameRule = { max: 63, pattern: /^[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?$/ };

/** A pod's name is its Job's and six characters; the Job's own is a label of it. */
const JOB_NAME: PlatformNameRule = { max: 52, pattern: /^[a-z](?:[a-z0-9-]*[a-z0-9])?$/ };

/** The same at every start of the attempt. Tasks share a namespace, and each may have a run of that id: hence always a hash. */
export const jobName = ({ task, ...attempt }: AttemptRef): string =>
  platformName(`${task}\0${attemptId(attempt)}`, JOB_NAME);

/** What the attempt's Job and pod are labelled with. */
export const labelsOf = (attempt: AttemptRef & { readonly tenant?: string }): Record<string, string> => ({
  ...runLabels(attempt),
  [LABELS.attempt]: String(attempt.attempt),
  ...(attempt.tenant !== undefined && { [LABELS.tenant]: platformName(attempt.tenant, LABEL_VALUE) }),
});

/** What everything of one run has. Ids have any characters: a label has their hash. */
export const runLabels = ({ task, id }: Pick<AttemptRef, "task" | "id">): Record<string, string> => ({
  [LABELS.task]: platformName(task, LABEL_VALUE),
  [LABELS.run]: shortHash(id, 20),
});

/** What everything of one task has. */
export const taskLabels = (task: string): Record<string, string> => ({
  [LABELS.task]: platformName(task, LABEL_VALUE),
});

/** The annotation that names a Job's attempt in full. */
const NOTE = "millrace/attempt";

/** What the attempt's Job is annotated with. */
export const attemptNote = ({ task, id, attempt }: AttemptRef): Record<string, string> => ({
  [NOTE]: JSON.stringify({ task, id, attempt }),
});

/** The attempt that annotations name. */
export const attemptIn = (annotations: Readonly<Record<string, string>> = {}): AttemptRef | undefined =>
  annotations[NOTE] === undefined ? undefined : (JSON.parse(annotations[NOTE]) as AttemptRef);

/** What the Workflows of one WorkflowTemplate have, and the pods of their steps. */
export const flowLabels = (template: string): Record<string, string> => ({ [LABELS.flow]: template });

/** The annotation that names a Workflow's run in full. */
const FLOW_NOTE = "millrace/run";

export const flowNote = (ref: FlowRef): Record<string, string> => ({ [FLOW_NOTE]: JSON.stringify(ref) });

export const flowIn = (annotations: Readonly<Record<string, string>> = {}): FlowRef | undefined =>
  annotations[FLOW_NOTE] === undefined ? undefined : (JSON.parse(annotations[FLOW_NOTE]) as FlowRef);

/** The number of the attempt that an object is labelled with. */
export const attemptLabel = (labels: Readonly<Record<string, string>> = {}): number => Number(labels[LABELS.attempt]);

/** Labels as a query asks for them. */
export const selector = (labels: Readonly<Record<string, string>>): string =>
  Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(",");
