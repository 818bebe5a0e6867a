import { jetstreamManager } from "@nats-io/jetstream";
import { type NatsConnection, TimeoutError } from "@nats-io/transport-node";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { sharedNats } from "../../lib/clouds/kubernetes/runtime/account.ts";
import { setUp } from "../../lib/clouds/kubernetes/runtime/setup.ts";
import { port as tablePort } from "../../lib/clouds/kubernetes/runtime/table.ts";
import { textOf, tokenOf } from "../../lib/clouds/kubernetes/runtime/table-keys.ts";
import { VirtualClock } from "../../lib/clouds/local/host/virtual-clock.ts";
import { TableTaskStore } from "../../lib/runtime/tasks/table-store.ts";
import { testTable } from "../ports/conformance.ts";
import { NOW, testTaskStore } from "../ports/task-store-conformance.ts";
import { NatsWorld } from "./nats-world.ts";

let around: NatsWorld;
beforeAll(async () => {
  around = await NatsWorld.start();
});
afterAll(() => around.stop());

testTable(async () => {
  const { advance } = around;
  return { table: await around.table(), now: () => Date.now(), advance, close: async () => {} };
});

describe("a table of NATS", () => {
  it("has a key for every text, one of its own, which fits a subject", () => {
    const text = fc
      .string({ unit: "binary", minLength: 1, maxLength: 1024 })
      .filter((key) => Buffer.byteLength(key) <= 1024);
    fc.assert(
      fc.property(text, (key) => {
        expect(tokenOf(key)).toMatch(/^[A-Za-z0-9/_=-]{1,1400}$/);
        expect(textOf(tokenOf(key))).toBe(key);
      }),
    );
    for (const key of ["=41", "A", "==QQ", ".", "*", ">", "a.b", "猫".repeat(341), "\u0000".repeat(1024)])
      expect(textOf(tokenOf(key))).toBe(key);
  });

  it("takes the longest keys and the strangest ones", async () => {
    const table = await around.table();
    const keys = [
      "猫".repeat(341),
      ".".repeat(1024),
      "a.b",
      "a",
      ".",
      "*",
      ">",
      "$KV",
      " ",
      "\n",
      "\u0000",
      "=41",
      "A",
    ];
    for (const key of keys) await table.put(key, key, key);
    for (const key of keys) {
      expect((await table.get(key, key))?.value).toBe(key);
      expect((await table.query(key, { prefix: key.slice(0, 1) })).rows.map(({ sort }) => sort)).toEqual([key]);
    }
  });

  it("reads ten thousand rows, each once", async () => {
    const table = await around.table();
    const sorts = Array.from({ length: 10_000 }, (_, number) => `row/${String(number).padStart(6, "0")}`);
    await Promise.all(sorts.map((sort) => table.put("many", sort, { sort, filling: "x".repeat(200) })));
    const found: string[] = [];
    for (let after: string | undefined; ; ) {
      const page = await table.query<{ sort: string }>("many", after === undefined ? {} : { after });
      found.push(...page.rows.map(({ value }) => value.sort));
      after = page.next;
      if (after === undefined) break;
    }
    expect(found).toEqual(sorts);
    const { rows, next } = await table.query("many", { prefix: "row/00123", limit: 10 });
    expect(rows).toHaveLength(10);
    expect(next).toBeUndefined();
  });

  it("lets one of many have a row that was removed or has expired", async () => {
    const table = await around.table();
    const take = () =>
      Promise.allSettled(
        Array.from({ length: 8 }, (_, number) => table.put("p", "s", number, { ifVersion: "absent" })),
      );
    const winners = (results: readonly PromiseSettledResult<string>[]) =>
      results.filter(({ status }) => status === "fulfilled").length;
    expect(winners(await take())).toBe(1);
    await table.remove("p", "s");
    expect(winners(await take())).toBe(1);
    const version = await table.put("p", "s", 0, { expires: Date.now() + 300 });
    expect(winners(await take())).toBe(0);
    await around.advance(0.5);
    await expect(table.put("p", "s", 0, { ifVersion: version })).rejects.toMatchObject({ kind: "conflict" });
    expect(winners(await take())).toBe(1);
  });

  it("knows its own put again whose answer got lost, from that of another", async () => {
    const nats = await around.nats();
    let lost = 0;
    const deaf: NatsConnection = Object.assign(Object.create(nats) as NatsConnection, {
      async request(...args: Parameters<NatsConnection["request"]>) {
        const answer = await nats.request(...args);
        if (!args[0].startsWith("$KV.") || lost > 0) return answer;
        lost += 1;
        throw new TimeoutError();
      },
    });
    const table = await around.table({ nats: async () => deaf });
    const version = await table.put("p", "s", 1, { ifVersion: "absent" });
    expect(lost).toBe(1);
    expect(await table.get("p", "s")).toMatchObject({ value: 1, version });
    lost = 0;
    const next = await table.put("p", "s", 2, { ifVersion: version });
    expect([lost, (await table.get("p", "s"))?.version]).toEqual([1, next]);
    await expect(table.put("p", "s", 3, { ifVersion: version })).rejects.toMatchObject({ kind: "conflict" });
  });

  it("says who is there no more: a table, a server", async () => {
    const table = tablePort({ kind: "table", part: "state", table: "none" }, around.world);
    await expect(table.get("p", "s")).rejects.toMatchObject({ kind: "not-found" });
    await expect(table.query("p")).rejects.toMatchObject({ kind: "not-found" });
    await expect(table.put("p", "s", 1)).rejects.toMatchObject({ kind: "unavailable", message: /setup Job/ });
    const away = sharedNats({ url: "nats://127.0.0.1:1", name: "away" });
    await expect(away.nats()).rejects.toThrow(/CONNECTION_REFUSED|refused/i);
    await away.close();
  });
});

describe("the task table on NATS", () => {
  testTaskStore(async () => {
    const clock = new VirtualClock(NOW);
    const table = await around.table({ clock });
    const store = new TableTaskStore({ table, tasks: ["work", "other"], clock, random: Math.random });
    return { store, advanceTo: async (time) => clock.advanceTo(time) };
  });
});

describe("setting up", () => {
  it("again changes what is asked for, and loses nothing", async () => {
    const { queue, address } = await around.queue();
    await queue.send("kept");
    const nats = await around.nats();
    const setup = (visibility: number, maxAge?: number) => ({
      streams: [{ name: address.stream, subjects: [address.subject], ...(maxAge && { maxAge }) }],
      consumers: [{ stream: address.stream, name: "receivers", subject: address.subject, visibility }],
      tables: ["again"],
    });
    await Promise.all([setUp(nats, setup(7)), setUp(nats, setup(7))]);
    await setUp(nats, setup(9, 60));
    const manager = await jetstreamManager(nats);
    expect((await manager.streams.info(address.stream)).config).toMatchObject({
      max_age: 60e9,
      duplicate_window: 60e9,
    });
    expect((await manager.consumers.info(address.stream, "receivers")).config).toMatchObject({ ack_wait: 9e9 });
    expect(await queue.receive()).toMatchObject([{ body: "kept" }]);
  });

  it("says what it cannot do", async () => {
    const overlapping = { name: "other", subjects: ["ports.>"] };
    const setup = setUp(await around.nats(), { streams: [overlapping], consumers: [], tables: [] });
    await expect(setup).rejects.toMatchObject({ message: /set up stream other: .*overlap/ });
  });
});
