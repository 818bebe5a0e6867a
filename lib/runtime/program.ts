import { MillraceError } from "./errors.ts";

/** What a Python function that failed says; containers may say it too. */
interface ProgramError {
  readonly errorType?: string;
  readonly errorMessage?: string;
  readonly stackTrace?: readonly string[];
}

/**
 * Calls a program that listens for HTTP.
 *
 * @param url without a path: `http://127.0.0.1:9000`
 * @throws `failed` with what the program says, `unavailable` if it does not answer
 */
export async function callProgram(url: string, payload: unknown, signal: AbortSignal): Promise<unknown> {
  const response = await fetch(`${url}/invoke`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(payload ?? null),
    signal,
  }).catch((error: unknown) => {
    if (signal.aborted) throw signal.reason;
    throw new MillraceError("unavailable", `the program at ${url} does not answer`, { cause: error });
  });
  const text = await response.text();
  if (response.status !== 200) throw programError(text, `status ${response.status}`);
  return programAnswer(text);
}

/**
 * The error of a program that failed, in its own words.
 *
 * @param text what it answered
 * @param otherwise what is known if it said nothing
 */
export function programError(text: string, otherwise: string): MillraceError {
  const { errorType, errorMessage, stackTrace } = (asObject(text) ?? {}) as ProgramError;
  const words = [errorType, errorMessage].filter(Boolean).join(": ") || text.slice(0, 2000);
  const error = new MillraceError("failed", `the program failed${words ? `: ${words}` : ` with ${otherwise}`}`);
  if (Array.isArray(stackTrace)) error.stack = `${error.message}\n${stackTrace.join("\n")}`;
  return error;
}

/**
 * What a program answered; nothing is `null`.
 *
 * @throws `failed` if it is no JSON
 */
export function programAnswer(text: string): unknown {
  if (text === "") return null;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new MillraceError("failed", `the program answered no JSON: ${text.slice(0, 200)}`, { cause: error });
  }
}

function asObject(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
