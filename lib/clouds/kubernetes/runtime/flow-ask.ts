import { sleep } from "../../../runtime/clock.ts";
import { MillraceError } from "../../../runtime/errors.ts";
import type { FunctionInvoked } from "../../../runtime/events.ts";
import type { Handler } from "../../../runtime/handler.ts";
import type { FunctionInvoker, QueueSender } from "../../../runtime/ports.ts";
import { callbackOf, type FlowTurns } from "./flow-turns.ts";

/** Milliseconds between two looks for the answer, at most. */
const LONGEST_LOOK = 5000;

/** Asks the queue or the function, `{ callback, input }`, and waits for the answer. */
export const handler: Handler<
  FunctionInvoked<unknown>,
  { readonly turns: FlowTurns; readonly asked: QueueSender | FunctionInvoker }
> = async ({ id, payload: input }, { links: { turns, asked }, clock, signal }) => {
  const before = await turns.turns(id);
  const callback = callbackOf(id, before);
  const question = { callback, input };
  if ("send" in asked) await asked.send(JSON.stringify(question), { deduplication: callback });
  else await asked.invoke(question);
  for (let looks = 1; ; looks += 1) {
    const answer = await turns.answer(callback);
    if (answer) {
      await turns.keepTurns(id, before + 1);
      if (answer.status === "failed") throw new MillraceError(answer.error.kind, answer.error.message);
      return answer.output;
    }
    await sleep(clock, Math.min(LONGEST_LOOK, 500 * looks), signal);
  }
};
