import { createInbox, type Msg } from "@nats-io/transport-node";
import { type FunctionCall, newCall } from "../../../runtime/calls.ts";
import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import { type ErrorRecord, fromErrorRecord, MillraceError } from "../../../runtime/errors.ts";
import type { FunctionInvoker } from "../../../runtime/ports.ts";
import type { KubernetesWorld } from "./account.ts";
import { publish } from "./nats.ts";

/** Where the answer to a call goes: a stream that keeps the call answers its publisher its own way. */
export const REPLY = "Millrace-Reply";
/** Until when somebody waits for the answer, milliseconds since 1970. */
export const UNTIL = "Millrace-Until";

/** The answer to a call, as JSON. */
export type CallAnswer = { readonly result: unknown } | { readonly error: ErrorRecord };

/** Seconds an answer is waited for, where the address does not say. */
const LONGEST_WAIT = 900;

/** A function whose calls are messages. */
export const port = (address: LinkAddress, world: KubernetesWorld): FunctionInvoker => ({
  async invoke<Result>(payload: unknown): Promise<Result> {
    const wait = Number(address.timeout ?? LONGEST_WAIT);
    return (await invokeFunction(world, field(address, "subject"), newCall(payload, world.clock), wait)) as Result;
  },
});

/** Has a function called, and tried again where it fails; answers once that cannot get lost any more. */
export async function startFunction(
  world: Pick<KubernetesWorld, "nats">,
  subject: string,
  call: FunctionCall,
): Promise<void> {
  await publish(await world.nats(), `call ${subject}`, { subject, body: JSON.stringify(call), id: call.id });
}

/**
 * Calls a function and waits for its answer.
 *
 * @param wait seconds
 * @throws what the function threw; `unavailable` if no answer comes.
 */
export async function invokeFunction(
  world: Pick<KubernetesWorld, "nats" | "clock" | "signal">,
  subject: string,
  call: FunctionCall,
  wait = LONGEST_WAIT,
): Promise<unknown> {
  const { clock, signal } = world;
  signal.throwIfAborted();
  const nats = await world.nats();
  const inbox = createInbox();
  const until = clock.now() + wait * 1000;
  let end = () => {};
  const answered = new Promise<Msg>((resolve, reject) => {
    const subscription = nats.subscribe(inbox, {
      max: 1,
      callback: (error, answer) => (error ? reject(error) : resolve(answer)),
    });
    const late = () => reject(new MillraceError("unavailable", `call ${subject}: no answer within ${wait} seconds`));
    const cancel = clock.at(until, late);
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort);
    end = () => {
      cancel();
      signal.removeEventListener("abort", abort);
      subscription.unsubscribe();
    };
  });
  // What comes too early, while the call is still being stored, is not an unhandled rejection.
  answered.catch(() => {});
  try {
    const headers = { [REPLY]: inbox, [UNTIL]: String(until) };
    await publish(nats, `call ${subject}`, { subject, body: JSON.stringify(call), headers, id: call.id });
    const answer = (await answered).json<CallAnswer>();
    if ("error" in answer) throw fromErrorRecord(answer.error);
    return answer.result;
  } finally {
    end();
  }
}
