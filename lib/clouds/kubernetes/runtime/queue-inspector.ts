import { jetstreamManager, type MsgRequest } from "@nats-io/jetstream";
import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import type { PeekedMessage, QueueInspector } from "../../../runtime/system.ts";
import type { KubernetesWorld } from "./account.ts";
import { storedMessage } from "./message.ts";
import { toMillraceError } from "./nats.ts";
import { laterSubject } from "./setup.ts";

/** Looks into a queue's stream, for operators: nothing is received by it. */
export function inspector(address: LinkAddress, world: KubernetesWorld): QueueInspector {
  const [stream, subject, consumer] = ["stream", "subject", "consumer"].map((name) => field(address, name)) as [
    string,
    string,
    string,
  ];
  const manager = async () => jetstreamManager(await world.nats(), { checkAPI: false });
  const said = (error: unknown): never => {
    throw toMillraceError(`look at queue ${address.part}`, error);
  };
  const stats = async () => {
    const { streams, consumers } = await manager();
    const [{ state }, { num_ack_pending }] = await Promise.all([
      streams.info(stream, { subjects_filter: ">" }),
      consumers.info(stream, consumer),
    ]);
    const counts = Object.entries(state.subjects ?? {});
    const sum = (isOne: (name: string) => boolean) =>
      counts.filter(([name]) => isOne(name)).reduce((all, [, count]) => all + count, 0);
    const delayed = sum((name) => name.startsWith(`${laterSubject(subject)}.`));
    const ready = sum((name) => name === subject) - num_ack_pending;
    const oldest = ready > 0 ? { oldest: new Date(state.first_ts).toISOString() } : {};
    return { ready: Math.max(0, ready), inFlight: num_ack_pending, delayed, ...oldest };
  };
  /** What others have received and not acknowledged is among them: the stream does not tell them apart. */
  const peek = async (limit: number) => {
    const { streams } = await manager();
    const found: PeekedMessage[] = [];
    let seq = 1;
    while (found.length < limit) {
      // The server takes the subject here too; the client's types know it for direct requests alone.
      const message = await streams.getMessage(stream, { seq, next_by_subj: subject } as MsgRequest);
      if (!message) break;
      found.push(storedMessage(stream, message));
      seq = message.seq + 1;
    }
    return found;
  };
  return { stats: () => stats().catch(said), peek: (limit) => peek(limit).catch(said) };
}
