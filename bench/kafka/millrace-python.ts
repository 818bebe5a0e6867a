import { chainOf } from "../../lib/handlers/etl/operators.ts";
import type { EtlSettings } from "../../lib/handlers/etl/settings.ts";
import type { OperatorProgram } from "../../lib/handlers/etl/user-code.ts";
import { handler as processed } from "../../lib/handlers/programs/process.ts";
import { systemClock } from "../../lib/runtime/clock.ts";
import type { LinkAddress } from "../../lib/runtime/deployment.ts";
import { consume } from "../../lib/runtime/kafka/consumer.ts";
import { port } from "../../lib/runtime/kafka/port.ts";
import { treeCpu } from "../measure.ts";
import { BATCH, contend, type Job } from "./job.ts";

/** Ours, with the operator in Python: its process is there before, and its CPU is counted. */
const log = { debug() {}, info() {}, warn: console.error, error: console.error };
const world = { signal: new AbortController().signal, clock: systemClock, log, files: "/nowhere" };
const python = { folder: import.meta.dirname, entry: "price:records" };
const program: OperatorProgram = async (payload) => {
  const event = { type: "function.invoked", id: "", payload, time: "" } as const;
  const context = { ...world, settings: { program: { python } } };
  return (await processed(event, context as never)) as readonly unknown[];
};
const settings: EtlSettings = {
  ...{ operators: [{ code: "price" }], format: "json", to: "stream", deadLetters: "stream", places: "stream" },
  ...{ remembered: 1, tries: 1, objects: { prefix: "", gzip: false }, user: {} },
};
const chain = await chainOf({ ...world, links: {}, settings, code: { price: program } });
await program([]);

await contend(
  async ({ broker, from, to, group, count }: Job) => {
    const address: LinkAddress = { kind: "stream", part: to, topic: to, brokers: broker, tls: "false" };
    const target = port(address, world);
    const done = new AbortController();
    let left = count;
    await consume({
      ...{ connection: { brokers: [broker], tls: false }, topic: from, group },
      ...{ batch: BATCH, window: 0.2, from: "earliest", signal: done.signal, log },
      handle: async (records) => {
        const made = await chain(from, records);
        const priced = made.flatMap(({ record: { key }, values }) =>
          values.map((value) => ({ ...(key && { key }), value: JSON.stringify(value) })),
        );
        await target.send(priced);
        left -= records.length;
        if (left === 0) done.abort();
      },
    });
  },
  () => treeCpu(process.pid),
);
