import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Journal } from "../../../lib/clouds/local/host/journal.ts";
import { Queues } from "../../../lib/clouds/local/host/queues.ts";
import { VirtualClock } from "../../../lib/clouds/local/host/virtual-clock.ts";
import type { QueuePlan } from "../../../lib/parts/plan.ts";
import { MillraceError } from "../../../lib/runtime/errors.ts";
import { queuePlan } from "./plans.ts";
import { workspace } from "./workspace.ts";

const space = workspace();

/** Mulberry32: the same numbers for the same seed. https://gist.github.com/tommyettinger/46a874533244883189143505d203312c */
const seeded = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0;
  let mixed = Math.imul(seed ^ (seed >>> 15), seed | 1);
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
};

function local({
  work = {},
  journal = space.journal(),
  clock = new VirtualClock(),
  seed = 1,
  messageBytes = 1000,
  delaySeconds,
}: {
  work?: Partial<QueuePlan>;
  journal?: Journal;
  clock?: VirtualClock;
  seed?: number;
  messageBytes?: number;
  delaySeconds?: number;
} = {}) {
  const sent: string[] = [];
  const queues = new Queues({
    journal,
    clock,
    random: seeded(seed),
    onSent: (queue) => sent.push(queue),
    limits: { messageBytes, ...(delaySeconds !== undefined && { delaySeconds }) },
  });
  queues.define(queuePlan("dead", { retention: 2000 }));
  queues.define(queuePlan("work", { visibility: 10, attempts: 2, deadLetters: "dead", retention: 1000, ...work }));
  return { queues, journal, clock, sent };
}

const bodies = (messages: readonly { readonly body: string }[]) => messages.map(({ body }) => body);

/** Receives until the message is among the dead letters. */
async function kill({ queues, clock }: { queues: Queues; clock: VirtualClock }): Promise<void> {
  for (let receive = 0; receive < 3; receive += 1) {
    queues.receiveNow("work", 100);
    await clock.advance("11 seconds");
  }
}

describe("delivery", () => {
  it("is in random order, the same for the same seed, and nobody is overtaken for ever", () => {
    const order = (seed: number) => {
      const { queues } = local({ seed });
      for (let n = 0; n < 1000; n += 1) queues.sendNow("work", String(n));
      return bodies(queues.receiveNow("work", 1000)).map(Number);
    };
    const numbers = order(7);
    expect(new Set(numbers).size).toBe(1000);
    expect(numbers).not.toEqual([...numbers].sort((one, other) => one - other));
    expect(numbers).toEqual(order(7));
    expect(numbers).not.toEqual(order(8));
    expect(Math.max(...numbers.map((number, place) => Math.abs(number - place)))).toBeLessThanOrEqual(100);
  });

  it("reaches a message that came back even if new ones never cease", async () => {
    const { queues, clock } = local({ work: { attempts: 1000 } });
    queues.sendNow("work", "old");
    expect(bodies(queues.receiveNow("work", 1))).toEqual(["old"]);
    await clock.advance("11 seconds");
    const seen: string[] = [];
    for (let n = 0; n < 300 && !seen.includes("old"); n += 1) {
      queues.sendNow("work", "new");
      const [message] = queues.receiveNow("work", 1);
      seen.push(message!.body);
      queues.acknowledgeNow("work", message!.receipt);
    }
    expect(seen).toContain("old");
  });

  it("wakes whoever waits, inside the transaction that sends", () => {
    const { queues, journal, sent } = local();
    queues.sendNow("work", "a");
    expect(sent).toEqual(["work"]);
    const failing = () => {
      queues.sendNow("work", "b");
      throw new Error("no");
    };
    expect(() => journal.transaction(failing)).toThrow("no");
    expect(bodies(queues.peek("work", 10))).toEqual(["a"]);
  });

  it("says when there will be something", async () => {
    const { queues, clock } = local();
    expect(queues.nextVisible("work")).toBeUndefined();
    expect(queues.next()).toBeUndefined();
    queues.sendNow("work", "later", { delay: 5 });
    expect(queues.nextVisible("work")).toBe(clock.now() + 5000);
    queues.sendNow("work", "now");
    expect(queues.next()).toBe(clock.now());
    queues.receiveNow("work", 1);
    expect(queues.next()).toBe(clock.now() + 5000);
    await clock.advance("6 seconds");
    expect(bodies(queues.receiveNow("work", 10))).toEqual(["later"]);
  });

  it("goes on after a restart", async () => {
    const path = space.folder();
    const first = local({ journal: space.journal(path) });
    first.queues.sendNow("work", "waiting");
    first.queues.sendNow("work", "held");
    const held = first.queues.receiveNow("work", 2).find(({ body }) => body === "held")!;
    space.close(first.journal);
    const { queues } = local({ journal: space.journal(path), clock: first.clock });
    queues.acknowledgeNow("work", held.receipt);
    await first.clock.advance("11 seconds");
    expect(bodies(queues.receiveNow("work", 10))).toEqual(["waiting"]);
  });

  it("ends after the retention", async () => {
    const { queues, clock } = local();
    queues.sendNow("work", "a");
    await clock.advance("1000 seconds");
    expect(queues.peek("work", 10)).toEqual([]);
    expect(queues.receiveNow("work", 10)).toEqual([]);
    expect(queues.stats("work")).toEqual({ ready: 0, inFlight: 0, delayed: 0 });
  });
});

describe("what is refused", () => {
  it("a body that is too long, counted in bytes", () => {
    const { queues } = local({ messageBytes: 9 });
    queues.sendNow("work", "猫猫猫");
    expect(() => queues.sendNow("work", "猫猫猫x")).toThrow(
      new MillraceError("refused", "a message to queue work has 10 B; allowed: up to 9 B"),
    );
  });

  it("a delay that is too long", () => {
    const { queues } = local({ delaySeconds: 900 });
    queues.sendNow("work", "in time", { delay: 900 });
    expect(() => queues.sendNow("work", "late", { delay: 901 })).toThrow(
      new MillraceError("refused", "a message to queue work is delayed by 901 seconds; allowed: up to 900 seconds"),
    );
    expect(() => queues.sendNow("work", "never", { delay: Number.NaN })).toThrow("delay is a number of seconds");
  });

  it("a queue that is not there", () => {
    const { queues } = local();
    expect(() => queues.sendNow("wrk", "")).toThrow("no queue wrk; there are: dead, work");
    expect(() => queues.receiver("wrk")).toThrow("no queue wrk");
    expect(() => queues.stats("wrk")).toThrow("no queue wrk");
  });

  it("a receipt of an earlier delivery, of another queue, or of nobody's", async () => {
    const { queues, clock } = local({ work: { attempts: 10 } });
    queues.sendNow("work", "a");
    const [first] = queues.receiveNow("work", 1);
    expect(() => queues.acknowledgeNow("dead", first!.receipt)).toThrow("was delivered again since, or is gone");
    await clock.advance("11 seconds");
    const [second] = queues.receiveNow("work", 1);
    expect(() => queues.acknowledgeNow("work", first!.receipt)).toThrow("was delivered again since, or is gone");
    expect(() => queues.extendNow("work", first!.receipt, 5)).toThrow("was delivered again since, or is gone");
    queues.acknowledgeNow("work", second!.receipt);
    expect(() => queues.acknowledgeNow("work", second!.receipt)).toThrow("was delivered again since, or is gone");
    expect(() => queues.acknowledgeNow("work", "hello")).toThrow('no receipt of a message: "hello"');
  });

  it("numbers that make no sense", () => {
    const { queues } = local();
    expect(() => queues.sendNow("work", "", { delay: -1 })).toThrow("delay is a number of seconds, 0 or more, got -1");
    expect(() => queues.sendNow("work", "", { delay: Number.NaN })).toThrow("got NaN");
    expect(() => queues.receiveNow("work", 0)).toThrow("limit is a whole number from 1, got 0");
  });
});

describe("deduplication", () => {
  it("remembers a key for ten minutes, per queue, also when the message is gone", async () => {
    const { queues, clock } = local();
    const first = queues.sendNow("work", "a", { deduplication: "key" });
    expect(queues.sendNow("dead", "a", { deduplication: "key" })).not.toBe(first);
    const [message] = queues.receiveNow("work", 1);
    queues.acknowledgeNow("work", message!.receipt);
    await clock.advance("599 seconds");
    expect(queues.sendNow("work", "b", { deduplication: "key" })).toBe(first);
    expect(queues.receiveNow("work", 1)).toEqual([]);
    await clock.advance("1 second");
    expect(queues.sendNow("work", "c", { deduplication: "key" })).not.toBe(first);
    expect(bodies(queues.receiveNow("work", 1))).toEqual(["c"]);
  });
});

describe("dead letters", () => {
  it("say where they came from, and start a life of their own", async () => {
    const { queues, clock, sent } = local();
    const id = queues.sendNow("work", "a", { attributes: { colour: "blue" } });
    await kill({ queues, clock });
    expect(sent).toEqual(["work", "dead"]);
    expect(queues.receiveNow("dead", 10)).toMatchObject([
      {
        id,
        body: "a",
        receives: 1,
        attributes: { colour: "blue", deadLetterSource: "work", deadLetterReceives: "2" },
      },
    ]);
    await clock.advance("1500 seconds"); // longer than the first queue keeps it
    expect(queues.receiveNow("dead", 10)).toHaveLength(1);
  });

  it("are moved by the very receive that would be one too many, or not at all", async () => {
    const { queues, journal, clock } = local();
    queues.sendNow("work", "a");
    await kill({ queues, clock });
    expect(queues.stats("dead").ready).toBe(1);
    queues.sendNow("work", "b");
    for (let receive = 0; receive < 2; receive += 1) {
      queues.receiveNow("work", 1);
      await clock.advance("11 seconds");
    }
    const failing = () => {
      expect(queues.receiveNow("work", 1)).toEqual([]);
      throw new Error("killed");
    };
    expect(() => journal.transaction(failing)).toThrow("killed");
    expect(bodies(queues.peek("work", 10))).toEqual(["b"]);
    expect(queues.stats("dead").ready).toBe(1);
  });

  it("do not stand in the way of others", async () => {
    const { queues, clock } = local();
    for (let n = 0; n < 5; n += 1) queues.sendNow("work", `bad ${n}`);
    for (let receive = 0; receive < 2; receive += 1) {
      queues.receiveNow("work", 5);
      await clock.advance("11 seconds");
    }
    queues.sendNow("work", "good");
    expect(bodies(queues.receiveNow("work", 1))).toEqual(["good"]);
    expect(queues.stats("dead").ready).toBeLessThanOrEqual(5);
  });

  it("go back to where they failed, with all their attempts", async () => {
    const { queues, clock, sent } = local();
    queues.sendNow("work", "a", { attributes: { colour: "blue" } });
    await kill({ queues, clock });
    queues.sendNow("dead", "came another way");
    expect(queues.redrive("dead")).toBe(1);
    expect(sent.at(-1)).toBe("work");
    expect(bodies(queues.peek("dead", 10))).toEqual(["came another way"]);
    expect(queues.receiveNow("work", 10)).toMatchObject([{ body: "a", receives: 1, attributes: { colour: "blue" } }]);
    expect(queues.redrive("dead", { to: "work" })).toBe(1);
    expect(queues.redrive("dead", { to: "work" })).toBe(0);
  });

  it("go back by filter and limit, oldest first, all or none", async () => {
    const { queues, clock } = local();
    for (let n = 0; n < 6; n += 1) queues.sendNow("work", String(n));
    await kill({ queues, clock });
    expect(() => queues.redrive("dead", { to: "gone" })).toThrow("no queue gone");
    expect(queues.stats("dead").ready).toBe(6);
    expect(queues.redrive("dead", { limit: 2, filter: ({ body }) => Number(body) % 2 === 1 })).toBe(2);
    expect(bodies(queues.peek("work", 10))).toEqual(["1", "3"]);
    expect(bodies(queues.peek("dead", 10))).toEqual(["0", "2", "4", "5"]);
    queues.receiveNow("dead", 10);
    expect(queues.redrive("dead")).toBe(0); // somebody has them
  });
});

describe("the look from outside", () => {
  it("counts, and shows without receiving", async () => {
    const { queues, clock } = local();
    const start = new Date(clock.now()).toISOString();
    queues.sendNow("work", "a");
    await clock.advance("1 second");
    queues.sendNow("work", "b");
    queues.sendNow("work", "c", { delay: 5 });
    queues.receiveNow("work", 1);
    expect(queues.stats("work")).toEqual({ ready: 1, inFlight: 1, delayed: 1, oldest: start });
    expect(bodies(queues.peek("work", 2))).toEqual(["a", "b"]);
    expect(queues.peek("work", 10)).toHaveLength(3);
    expect(queues.stats("work")).toMatchObject({ ready: 1, inFlight: 1, delayed: 1 });
    await clock.advance("10 seconds");
    expect(queues.stats("work")).toMatchObject({ ready: 3, inFlight: 0, delayed: 0 });
  });
});

describe("many messages", () => {
  it("are found by index alone, among 100,000", async () => {
    const journal = space.journal();
    const { queues, clock } = local({ journal, work: { attempts: 2 } });
    journal.transaction(() => {
      for (let n = 0; n < 100_000; n += 1) queues.sendNow("work", `${n}`, { delay: n % 3 === 0 ? 60 : 0 });
    });
    for (let n = 0; n < 500; n += 1) {
      const [message] = queues.receiveNow("work", 1);
      if (n % 2 === 0) queues.acknowledgeNow("work", message!.receipt);
      queues.nextVisible("work");
    }
    queues.sendNow("work", "once", { deduplication: "key" });
    queues.extendNow("work", queues.receiveNow("work", 1)[0]!.receipt, 20);
    queues.peek("work", 10);
    queues.redrive("dead");
    await clock.advance("11 seconds");
    queues.receiveNow("work", 1000);
    expect(queues.stats("work")).toMatchObject({ inFlight: 1001 });
    expect(journal.slowSteps().filter((step) => !step.includes("sqlite_sequence"))).toEqual([]);
  });
});

describe("the model", () => {
  it("loses nothing, doubles nothing, and hides what somebody has", async () => {
    const action = fc.oneof(
      fc.record({ type: fc.constant("send" as const), delay: fc.integer({ min: 0, max: 3 }) }),
      fc.record({ type: fc.constant("receive" as const), limit: fc.integer({ min: 1, max: 4 }) }),
      fc.record({ type: fc.constant("acknowledge" as const), pick: fc.nat() }),
      fc.record({ type: fc.constant("extend" as const), pick: fc.nat(), seconds: fc.integer({ min: 0, max: 20 }) }),
      fc.record({ type: fc.constant("advance" as const), seconds: fc.integer({ min: 1, max: 12 }) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 60 }), fc.nat(), async (actions, seed) => {
        const { queues, journal, clock } = local({ seed });
        const alive = new Map<string, { hiddenUntil: number; receives: number; receipt?: string }>();
        const held = () => [...alive].filter(([, { receipt, hiddenUntil }]) => receipt && hiddenUntil > clock.now());
        for (const act of actions) {
          if (act.type === "send") {
            const id = queues.sendNow("work", "x", { delay: act.delay });
            expect(alive.has(id)).toBe(false);
            alive.set(id, { hiddenUntil: clock.now() + act.delay * 1000, receives: 0 });
          } else if (act.type === "receive") {
            const visible = [...alive].filter(([, { hiddenUntil }]) => hiddenUntil <= clock.now()).map(([id]) => id);
            const able = visible.filter((id) => alive.get(id)!.receives < 2);
            const messages = queues.receiveNow("work", act.limit);
            expect(messages).toHaveLength(Math.min(act.limit, able.length));
            for (const { id, receives, receipt } of messages) {
              expect(able).toContain(id);
              expect(receives).toBe(alive.get(id)!.receives + 1);
              alive.set(id, { hiddenUntil: clock.now() + 10_000, receives, receipt });
            }
          } else if (act.type === "acknowledge" && held().length > 0) {
            const [id, { receipt }] = held()[act.pick % held().length]!;
            queues.acknowledgeNow("work", receipt!);
            alive.delete(id);
          } else if (act.type === "extend" && held().length > 0) {
            const [, message] = held()[act.pick % held().length]!;
            queues.extendNow("work", message.receipt!, act.seconds);
            message.hiddenUntil = clock.now() + act.seconds * 1000;
          } else if (act.type === "advance") await clock.advance(`${act.seconds} seconds`);
        }
        const dead = new Set(queues.peek("dead", 100).map(({ id }) => id));
        const waiting = new Set(queues.peek("work", 100).map(({ id }) => id));
        expect(new Set([...dead, ...waiting])).toEqual(new Set(alive.keys()));
        expect(dead.size + waiting.size).toBe(alive.size);
        for (const id of dead) expect(alive.get(id)!.receives).toBe(2);
        space.close(journal);
      }),
      { numRuns: 100 },
    );
  });
});
