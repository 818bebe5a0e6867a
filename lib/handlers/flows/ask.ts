import { MillraceError } from "../../runtime/errors.ts";
import type { FunctionInvoked } from "../../runtime/events.ts";
import type { Handler } from "../../runtime/handler.ts";
import type { FunctionInvoker, QueueSender } from "../../runtime/ports.ts";
import type { CallbackKeeper } from "../../runtime/workflows/links.ts";

/** What a step that waits for an answer says. */
export interface AskCall {
  /** By which the service is told of the answer. */
  readonly token: string;
  /** Of the step; it may come as a text. */
  readonly attempt: number;
  /** How often the run was begun; it may come as a text. */
  readonly round: number;
  readonly input: unknown;
}

/** Notes that a step waits, then asks the queue or the function: `{ callback, input }`. */
export const handler: Handler<
  FunctionInvoked<AskCall>,
  { readonly callbacks: CallbackKeeper; readonly asked: QueueSender | FunctionInvoker }
> = async ({ id, payload: { token, attempt, round, input } }, { links: { callbacks, asked } }) => {
  // An answer to one attempt is none to the next.
  const callback = Number(attempt) > 1 ? `${id}~${attempt}` : id;
  const question = { callback, input };
  try {
    const isAnswered = await callbacks.expect(callback, token, Number(round));
    // Before the run was retried: nobody is asked again.
    if (isAnswered && Number(round) > 1) return {};
    if ("send" in asked) await asked.send(JSON.stringify(question), { deduplication: callback });
    else await asked.invoke(question);
    return {};
  } catch (error) {
    // Of another kind it would be answered, and the service waits for the callback alone.
    const message = error instanceof Error ? error.message : String(error);
    throw new MillraceError("failed", `nobody was asked: ${message}`, { cause: error });
  }
};
