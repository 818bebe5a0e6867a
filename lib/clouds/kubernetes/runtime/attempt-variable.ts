import { type AttemptCall, readAttemptCall } from "../../../runtime/tasks/attempt.ts";

const NAME = "MILLRACE_ATTEMPT";

/**
 * Bytes of a payload that an attempt carries: Linux takes 131,072 a variable, and there are name, ids and tenant too.
 * https://man7.org/linux/man-pages/man2/execve.2.html
 */
export const LONGEST_PAYLOAD = 120 * 1024;

/** A variable of a container. */
export interface EnvironmentVariable {
  readonly name: string;
  readonly value?: string;
}

/**
 * The attempt as its worker finds it in the environment. Kubernetes takes `$(X)` for the value of another variable, and
 * `$$` for `$`.
 *
 * https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/
 */
export const attemptVariable = (call: AttemptCall): EnvironmentVariable => ({
  name: NAME,
  value: JSON.stringify(call).replaceAll("$", "$$$$"),
});

/** @throws an error if the environment tells of no attempt */
export function readAttemptVariable(variables: Readonly<Record<string, string | undefined>>): AttemptCall {
  const call = readAttemptCall(JSON.parse(variables[NAME] ?? "null"));
  if (!call) throw new Error(`the environment variable ${NAME} tells of no attempt: the keeper writes it into a Job`);
  return call;
}
