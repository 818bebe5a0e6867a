import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { Agenda } from "../../../lib/clouds/local/host/agenda.ts";
import { Journal } from "../../../lib/clouds/local/host/journal.ts";
import { StreamPlaces } from "../../../lib/clouds/local/host/stream-places.ts";
import { Streams } from "../../../lib/clouds/local/host/streams.ts";
import { VirtualClock } from "../../../lib/clouds/local/host/virtual-clock.ts";
import type { NewRecord } from "../../../lib/runtime/ports.ts";
import { streamPlan } from "./plans.ts";

const HOUR = 3600;

/** A stream of two partitions that keeps its records for an hour. */
function opened() {
  const folder = mkdtempSync(join(tmpdir(), "millrace-streams-"));
  const journal = new Journal(folder);
  const clock = new VirtualClock("2026-01-01T00:00:00Z");
  const agenda = new Agenda(clock);
  const appended: string[] = [];
  const streams = new Streams({
    journal,
    clock,
    onAppended: (stream) => {
      appended.push(stream);
      agenda.wake();
    },
  });
  streams.define(streamPlan("orders", { partitions: 2, retention: HOUR }));
  const places = new StreamPlaces(journal, streams);
  agenda.add(streams);
  onTestFinished(() => {
    agenda.stop();
    journal.close();
    rmSync(folder, { recursive: true });
  });
  const send = (...records: readonly NewRecord[]) => streams.append("orders", records);
  const values = (partition: number, from = 0) =>
    streams.take("orders", partition, { from }).map(({ value }) => Buffer.from(value!).toString());
  return { journal, clock, streams, places, appended, send, values };
}

const at = (partition: number, value: string): NewRecord => ({ partition, value });
const first = ({ streams }: ReturnType<typeof opened>) => streams.list()[0]!.partitions[0]!;

describe("records", () => {
  test("are kept for as long as the plan says since they came, whatever time they say of themselves", async () => {
    const cloud = opened();
    const { clock, send, values } = cloud;
    send({ ...at(0, "future"), timestamp: 9e12 }, { ...at(0, "past"), timestamp: 0 });
    await clock.advance("40 minutes");
    send(at(0, "later"), at(1, "other"));
    await clock.advance("19 minutes");
    expect(values(0)).toEqual(["future", "past", "later"]);
    await clock.advance("2 minutes");
    expect(values(0)).toEqual(["later"]);
    expect(first(cloud)).toEqual({ partition: 0, first: 2, next: 3 });
    await clock.advance("2 hours");
    expect([values(0), values(1)]).toEqual([[], []]);
    expect(first(cloud)).toEqual({ partition: 0, first: 3, next: 3 });
    expect(send(at(0, "new"))).toEqual([{ partition: 0, offset: 3 }]);
    await clock.advance("2 hours");
    expect(values(0)).toEqual([]);
  });

  test("that are gone are no error: reading, and a group's place, go on at what there is", async () => {
    const { clock, streams, places, send } = opened();
    places.begin("count", "orders", "earliest");
    send(at(0, "a"), at(0, "b"));
    await clock.advance("50 minutes");
    send(at(0, "c"));
    await clock.advance("20 minutes");
    expect(places.waiting("count", "orders")).toMatchObject([{ partition: 0, from: 2, count: 1 }]);
    expect(places.lag("orders")).toMatchObject([{ group: "count", lag: 1 }]);
    expect(streams.read("orders", { partition: 0, from: 0 })).toMatchObject({ records: [{ offset: 2 }], next: 3 });
    await clock.advance("2 hours");
    expect(places.waiting("count", "orders")).toEqual([]);
    expect(places.lagOf("count", "orders")).toBe(0);
    expect(streams.read("orders", { partition: 0, from: 0 })).toEqual({ records: [], next: 3 });
  });

  test("of a transaction that is undone never were", () => {
    const { journal, streams, send, values } = opened();
    send(at(0, "a"));
    const undone = () =>
      journal.transaction(() => {
        send(at(0, "b"));
        throw new Error("undone");
      });
    expect(undone).toThrow("undone");
    expect(send(at(0, "c"))).toEqual([{ partition: 0, offset: 1 }]);
    expect(values(0)).toEqual(["a", "c"]);
    expect(streams.list()[0]!.partitions[0]!.next).toBe(2);
  });

  test("come in pages of so many, and of so many bytes", () => {
    const { streams, send } = opened();
    send(...Array.from({ length: 10 }, (_, n) => at(0, `${n}`)));
    expect(streams.read("orders", { partition: 0, limit: 4 })).toMatchObject({ next: 4, records: { length: 4 } });
    expect(streams.read("orders", { partition: 0, from: 8, limit: 4 })).toMatchObject({
      next: 10,
      records: { length: 2 },
    });
    expect(streams.read("orders", { partition: 0, from: 99 })).toEqual({ records: [], next: 99 });
    const large = Buffer.alloc(5 * 2 ** 20);
    send(...[1, 2, 3].map(() => ({ partition: 1, value: large })));
    expect(streams.read("orders", { partition: 1 })).toMatchObject({ next: 1, records: { length: 1 } });
    expect(() => streams.read("orders", { partition: 0, limit: 0 })).toThrow("limit: a whole number from 1 to 10000");
    expect(() => streams.read("orders", { partition: 2 })).toThrow("partition of stream orders: 0 to 1, got 2");
  });

  test("are told of, once for what is appended together; none are not", () => {
    const { streams, appended, send } = opened();
    send(at(0, "a"), at(1, "b"));
    streams.append("orders", []);
    expect(appended).toEqual(["orders"]);
    expect(() => streams.append("nobody", [])).toThrow("no stream nobody; there are: orders");
  });
});

describe("a plan that is changed", () => {
  test("adds partitions, whose first records a group gets that was there before; it takes none away", () => {
    const { streams, places, send, values } = opened();
    send(at(0, "before"));
    places.begin("count", "orders", "latest");
    streams.define(streamPlan("orders", { partitions: 3, retention: HOUR }));
    send(at(2, "new"), at(0, "after"));
    places.begin("count", "orders", "latest");
    expect(places.waiting("count", "orders")).toMatchObject([
      { partition: 0, from: 1, count: 1 },
      { partition: 2, from: 0, count: 1 },
    ]);
    streams.define(streamPlan("orders", { partitions: 1, retention: HOUR }));
    expect(streams.list()[0]!.partitions).toHaveLength(3);
    expect(values(2)).toEqual(["new"]);
  });
});

test("a stream that is gone from the plan keeps its records, for when it is back", () => {
  const { streams, places, send, values } = opened();
  places.begin("count", "orders", "latest");
  send(at(0, "a"));
  streams.remove("orders");
  streams.define(streamPlan("results"));
  expect(streams.list().map(({ stream }) => stream)).toEqual(["results"]);
  expect(() => send(at(0, "b"))).toThrow("no stream orders; there are: results");
  streams.define(streamPlan("orders", { partitions: 2, retention: HOUR }));
  expect(values(0)).toEqual(["a"]);
  expect(places.lagOf("count", "orders")).toBe(1);
});

describe("a group", () => {
  test("that has never read begins where its source says", () => {
    const { places, send } = opened();
    send(at(0, "a"), at(1, "b"));
    places.begin("new", "orders", "latest");
    places.begin("all", "orders", "earliest");
    send(at(0, "c"));
    expect(places.lag("orders").map(({ group, lag }) => [group, lag])).toEqual([
      ["all", 3],
      ["new", 1],
    ]);
    // Told again, at a restart or with another source, it stays where it is.
    places.begin("new", "orders", "earliest");
    expect(places.lagOf("new", "orders")).toBe(1);
  });

  test("keeps a batch that failed as it was, until it is done", () => {
    const { places, send } = opened();
    places.begin("count", "orders", "latest");
    send(at(0, "a"), at(0, "b"));
    places.retry("count", "orders", 0, { attempts: 1, until: 2, due: 5000.5 });
    send(at(0, "c"));
    expect(places.waiting("count", "orders")).toMatchObject([
      { from: 0, count: 3, failed: { attempts: 1, until: 2, due: 5001 } },
    ]);
    places.move("count", "orders", 0, 2);
    expect(places.waiting("count", "orders")).toEqual([{ partition: 0, from: 2, count: 1, since: expect.any(Number) }]);
  });
});
