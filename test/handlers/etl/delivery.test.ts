import { expect, test } from "vitest";
import type { DeadLetter } from "../../../lib/handlers/etl/dead-letter.ts";
import { fromConnector, toConnector } from "../../../lib/handlers/etl/records.ts";
import type { OperatorModule } from "../../../lib/handlers/etl/user-code.ts";
import { MillraceError } from "../../../lib/runtime/errors.ts";
import { Faults, invoke, linksOf, record, Stores, settingsOf } from "./world.ts";

const poison: OperatorModule = {
  operator: () => {
    throw new Error("never");
  },
};
const same: OperatorModule = { operator: ({ value }: { readonly value: unknown }) => value };
const code = { poison, same };

test("a message: its body, who it is, and what a queue may know it by", async () => {
  const stores = new Stores();
  const settings = settingsOf({ to: "queue", deadLetters: "queue" });
  await invoke([record(7, { a: "ü" }, { key: "k" })], { settings, links: linksOf(stores, settings, new Faults()) });
  expect(stores.queues.out).toEqual([
    {
      body: '{"a":"ü"}',
      attributes: { id: "orders-0-7", stream: "orders", partition: "0", offset: "7" },
      deduplication: "orders-0-7",
    },
  ]);
});

test("what no queue takes lies in a bucket, of outputs and of dead letters", async () => {
  const stores = new Stores();
  const settings = settingsOf({ to: "queue", deadLetters: "queue", operators: [{ code: "same" }] });
  const half: OperatorModule = {
    operator: ({ value, offset }: { readonly value: unknown; readonly offset: number }) => {
      if (offset > 0) throw new Error("never");
      return value;
    },
  };
  const links = linksOf(stores, settings, new Faults());
  // Short as it is, but not as queues pack it.
  const texts = ["x".repeat(2 ** 20), "é".repeat(20_000), "y".repeat(60_000)];
  await invoke(
    texts.map((text, at) => record(at, text, { key: "k".repeat(1000), headers: { a: "b" } })),
    {
      settings,
      code: { same: half },
      links,
    },
  );
  const [output] = stores.queues.out.map(({ body }) => JSON.parse(body));
  expect(output).toEqual({
    reference: { bucket: "large", key: "outputs/orders-0-0.json", size: 2 ** 20 + 2, preview: `"${"x".repeat(1023)}` },
  });
  const letters = stores.queues.dead.map(({ body }) => JSON.parse(body) as DeadLetter);
  expect(letters.map(({ record, reference }) => [record.offset, record.overflowFlag, reference?.key])).toEqual([
    [1, true, "dead-letters/orders-0-1.json"],
    [2, false, undefined],
  ]);
  const stored = stores.objects.get("dead-letters/orders-0-1.json")!.body;
  expect(fromConnector(JSON.parse(Buffer.from(stored).toString()))).toEqual(
    record(1, texts[1], { key: "k".repeat(1000), headers: { a: "b" } }),
  );
});

test("streams: key, headers and time stay; key by a path; bytes and texts go as they are", async () => {
  const stores = new Stores();
  const given = [record(1, { order: { id: 5 } }, { key: "k", headers: { h: "v" } }), record(2, { order: { id: "x" } })];
  const byKey = settingsOf({ key: "order.id" });
  await invoke(given, { settings: byKey, links: linksOf(stores, byKey, new Faults()) });
  expect(stores.out.records).toMatchObject([
    { key: "5", timestamp: 1001, headers: { h: Buffer.from("v") }, value: '{"order":{"id":5}}' },
    { key: "x", timestamp: 1002, headers: {} },
  ]);
  const raw = settingsOf({ format: "bytes" });
  const bytes = Buffer.from([1, 2, 255]);
  await invoke([record(3, bytes, { key: "k" })], { settings: raw, links: linksOf(stores, raw, new Faults()) });
  expect(stores.out.records[2]).toMatchObject({ key: Buffer.from("k"), value: bytes });
});

test("a dead record in a stream is as it was, and its headers say why", async () => {
  const stores = new Stores();
  const settings = settingsOf({ operators: [{ code: "poison" }] });
  await invoke([record(4, Buffer.from([0xff]), { key: "k", headers: { h: "v" } })], {
    ...{ settings, code },
    links: linksOf(stores, settings, new Faults()),
  });
  expect(stores.dead.records).toEqual([
    {
      key: Buffer.from("k"),
      value: Buffer.from([0xff]),
      timestamp: 1004,
      headers: {
        h: Buffer.from("v"),
        "millrace-error": "bad-input",
        "millrace-message": "the value is no UTF-8 text",
        "millrace-operator": "format",
        "millrace-stream": "orders",
        "millrace-partition": "0",
        "millrace-offset": "4",
      },
    },
  ]);
});

test("a function gets outputs with their coordinates; what it refuses is dead, what it can't do now is tried again", async () => {
  const stores = new Stores();
  const settings = settingsOf({ to: "function", deadLetters: "queue", tries: 3 });
  const calls: unknown[] = [];
  let down = true;
  const to = {
    async invoke(payload: unknown) {
      const { value } = payload as { readonly value: number };
      calls.push(value);
      if (value === 1) throw new MillraceError("bad-input", "no ones");
      if (value === 2 && calls.filter((one) => one === 2).length < 3) throw new MillraceError("failed", "not yet");
      if (value === 4 && down) throw new MillraceError("unavailable", "gone");
      stores.invoked.push(payload);
    },
  };
  const links = { ...linksOf(stores, settings, new Faults()), to };
  const records = [1, 2, 3, 4, 5].map((n) => record(n, n, { key: "k" }));
  await expect(invoke(records, { settings, links })).rejects.toMatchObject({ kind: "unavailable" });
  expect(stores.source.places.get(0)?.next).toBe(4);
  down = false;
  expect(await invoke(records, { settings, links })).toEqual({ records: 2, outputs: 2, failures: 0, duplicates: 3 });
  expect(stores.invoked.map((payload) => (payload as { readonly value: number }).value)).toEqual([2, 3, 4, 5]);
  expect(stores.invoked[0]).toEqual({
    ...{ value: 2, key: "k", id: "orders-0-2", stream: "orders", partition: 0, offset: 2, timestamp: 1002 },
  });
  expect(stores.queues.dead.map(({ body }) => JSON.parse(body))).toMatchObject([
    { record: { offset: 1 }, operator: "to", error: { kind: "bad-input", message: "no ones" } },
  ]);
});

test("onFailure is told of every dead record, and what it throws changes nothing", async () => {
  for (const [to, deadLetters] of [
    ["same-kafka", "same-kafka"],
    ["bucket", "queue"],
    ["queue", "queue"],
    ["queue", "same-kafka"],
  ] as const) {
    const stores = new Stores();
    const settings = settingsOf({ to, deadLetters, operators: [{ code: "poison" }] });
    const told: DeadLetter[] = [];
    const counts: string[] = [];
    const onFailure = {
      async invoke(letter: DeadLetter) {
        told.push(letter);
        if (letter.record.offset === 2) throw new MillraceError("bad-input", "no");
      },
    };
    const links = { ...linksOf(stores, settings, new Faults()), onFailure };
    const counted = (name: string) => counts.push(name);
    await invoke(
      [1, 2, 3].map((n) => record(n, n)),
      { settings, code, links, counted },
    );
    expect(told.map(({ record, error, operator }) => [record.offset, error, operator])).toEqual(
      [1, 2, 3].map((n) => [n, { kind: "failed", message: "never" }, "1"]),
    );
    expect(counts.filter((name) => name === "compensation-failures")).toHaveLength(1);
    expect(stores.source.places.get(0)?.next).toBe(4);
  }
});

test("what the connector writes is read as it was: text, bytes, nothing", () => {
  const records = [
    record(1, { a: 1 }, { key: "k", headers: { h: "v" } }),
    { ...record(2, Buffer.from([0xff, 0])), key: Buffer.from([0xfe]), headers: { raw: Buffer.from([0xfd]) } },
    record(3, undefined),
    record(4, Buffer.alloc(0)),
  ];
  for (const one of records) {
    expect(fromConnector(JSON.parse(JSON.stringify(toConnector("orders", one))))).toEqual(one);
  }
  expect(toConnector("orders", records[0]!)).toEqual({
    ...{ key: "k", offset: 1, overflowFlag: false, partition: 0, timestamp: 1001, topic: "orders", value: '{"a":1}' },
    ...{ valueSize: 7, headers: { h: "v" } },
  });
  const platforms = { ...{ key: null, offset: 1, overflowFlag: false, partition: 0, timestamp: 5 }, topic: "t" };
  expect(fromConnector({ ...platforms, value: "v", valueSize: 1 })).toEqual({
    ...{ partition: 0, offset: 1, timestamp: 5, value: Buffer.from("v"), headers: {} },
  });
  expect(() => fromConnector({ ...platforms, overflowFlag: true, value: "v" })).toThrow(/the connector has cut it/);
  expect(() => fromConnector("text")).toThrow(/a record is wanted/);
});
