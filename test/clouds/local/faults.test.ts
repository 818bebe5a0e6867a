import { describe, expect, it } from "vitest";
import { type FaultRule, Faults, seededRandom } from "../../../lib/clouds/local/host/faults.ts";
import { VirtualClock } from "../../../lib/clouds/local/host/virtual-clock.ts";
import { link, makeHost, until } from "./fixtures/kit.ts";

const faults = (seed = 1) => new Faults({ clock: new VirtualClock(), seed });

describe("faults", () => {
  it("hit their place, their part, and as often as they say", () => {
    const all = faults();
    all.add({ at: "queue.send", part: "jobs", times: 2, error: "unavailable" });
    const hits = [
      all.strike("queue.receive", "jobs"),
      all.strike("queue.send", "others"),
      all.strike("queue.send", "jobs"),
      all.strike("queue.send", "jobs"),
      all.strike("queue.send", "jobs"),
    ];
    expect(hits.map((hit) => hit?.error)).toEqual([undefined, undefined, "unavailable", "unavailable", undefined]);
  });

  it("come out again", () => {
    const all = faults();
    const takeOut = all.add({ at: "secret.value" });
    all.add({ at: "table.get" });
    takeOut();
    expect(all.strike("secret.value", "key")).toBeUndefined();
    expect(all.strike("table.get", "rows")).toBeDefined();
    all.clear();
    expect(all.strike("table.get", "rows")).toBeUndefined();
  });

  it("hit a share of all, the same ones for the same seed", () => {
    const hits = (seed: number) => {
      const all = faults(seed);
      all.add({ at: "table.put", rate: 0.3 });
      return Array.from({ length: 1000 }, () => all.strike("table.put", "rows") !== undefined);
    };
    expect(hits(7)).toEqual(hits(7));
    expect(hits(7)).not.toEqual(hits(8));
    const count = hits(7).filter(Boolean).length;
    expect(count).toBeGreaterThan(250);
    expect(count).toBeLessThan(350);
    const random = seededRandom(3);
    expect(Array.from({ length: 100 }, random).every((value) => value >= 0 && value < 1)).toBe(true);
  });

  it.each<[FaultRule, RegExp]>([
    [{ at: "bucket.format" as never }, /fault\.at: one of bucket\.head.*got "bucket\.format"/],
    [{ at: "queue.send", times: 0 }, /fault\.times: a whole number from 1, got 0/],
    [{ at: "queue.send", rate: 2 }, /fault\.rate: 0 to 1, got 2/],
    [{ at: "queue.send", duplicate: 1 }, /fault\.duplicate: an event is delivered at/],
    [{ at: "bucket.created", duplicate: 0.5 }, /fault\.duplicate: a whole number/],
    [{ at: "bucket.created", kill: true }, /nobody to fail at "bucket\.created"/],
    [{ at: "queue.send", delay: "soon" as never }, /a duration is a number and a unit/],
  ])("that cannot be are refused: %o", (rule, words) => {
    expect(() => faults().add(rule)).toThrow(words);
  });
});

describe("a fault in a running function", () => {
  const setUp = (clock?: VirtualClock) => {
    const sent: string[] = [];
    const port = () => ({ send: async (body: string) => `m${sent.push(body)}` });
    const host = makeHost({ port, ...(clock && { clock }) });
    host.define(
      "sends",
      `async ({ id }, { links }) => links.jobs.send("hello").catch((error) => error.kind + ": " + error.message)`,
      { links: { jobs: link("jobs", "queue.send") }, timeout: 600, attempts: 5 },
    );
    return { ...host, sent };
  };

  it("fails a call, before it is done or after", async () => {
    const { functions, faults, sent } = setUp();
    faults.add({ at: "queue.send", part: "jobs", times: 1, error: "conflict" });
    expect(await functions.invoke("sends", null)).toBe('conflict: injected fault at queue.send of "jobs"');
    expect(sent).toEqual([]);
    faults.add({ at: "queue.send", times: 1, error: "unavailable", when: "after" });
    expect(await functions.invoke("sends", null)).toBe("unavailable: injected fault at queue.send");
    expect(sent).toEqual(["hello"]);
    expect(await functions.invoke("sends", null)).toBe("m2");
  });

  it("holds a call up", async () => {
    const clock = new VirtualClock();
    const { functions, faults, sent } = setUp(clock);
    faults.add({ at: "queue.send", times: 1, delay: "5 minutes" });
    const call = functions.invoke("sends", null);
    await until("the delay", () => clock.waiting > 1);
    await clock.advance("299 seconds");
    expect(sent).toEqual([]);
    await clock.advance("1 second");
    expect(await call).toBe("m1");
  });

  it("kills the process, at its start or in the middle of a call, and the event is handled again", async () => {
    const { functions, faults, sent, lines } = setUp();
    faults.add({ at: "function.start", part: "sends", times: 1, kill: true });
    faults.add({ at: "queue.send", times: 1, kill: true, when: "after" });
    functions.enqueue("sends", { type: "function.invoked", id: "e", payload: null, time: "" });
    await until("success", () => Object.keys(functions.waiting()).length === 0);
    expect(lines()).toEqual([
      expect.stringContaining("was killed by SIGKILL"),
      expect.stringContaining("was killed by SIGKILL"),
    ]);
    expect(sent).toEqual(["hello", "hello"]);
  });

  it("fails an invocation before it begins", async () => {
    const { functions, faults } = setUp();
    faults.add({ at: "function.start", times: 1, error: "timed-out" });
    await expect(functions.invoke("sends", null)).rejects.toMatchObject({ kind: "timed-out" });
    expect(await functions.invoke("sends", null)).toBe("m1");
  });
});
