import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { cloudFolder } from "./cloud.ts";

const { folder, view, client, run, json } = cloudFolder();
const EVENTS = "orders-events";
const TIME = /\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/.source;

/** The stream's end in each partition, as it is before a test adds to it. */
const ends = async () => (await client.streams.list())[0]!.partitions.map(({ next }) => next);
/** What came after those ends, by partition. */
async function since(before: readonly number[]) {
  const pages = before.map((from, partition) => client.streams.read(EVENTS, { partition, from }));
  return (await Promise.all(pages)).flatMap(({ records }) => records);
}
const text = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString();

describe("produce", () => {
  test("one record, with all that a record may have", async () => {
    const before = await ends();
    const words = ["--key", "k", "--header", "a=1", "--header", "b=ü", "--partition", "2"];
    const { out } = await run(["streams", "produce", EVENTS, '{"n":1}', ...words]);
    expect(out).toBe(`appended 1 record to ${EVENTS} at 2/${before[2]}\n`);
    const [record] = await since(before);
    expect(record).toMatchObject({ partition: 2, offset: before[2] });
    expect([text(record!.key), text(record!.value)]).toEqual(["k", '{"n":1}']);
    expect(Object.entries(record!.headers).map(([name, value]) => [name, text(value)])).toEqual([
      ["a", "1"],
      ["b", "ü"],
    ]);
  });

  test("a record for each line, of a file and of standard input, byte by byte", async () => {
    const lines = Buffer.concat([Buffer.from("one\n\n"), Buffer.from([0xff, 0x00, 0x0a]), Buffer.from("last")]);
    writeFileSync(join(folder, "lines"), lines);
    for (const [given, input] of [["@lines"], ["-", "a\tb\n"]] as const) {
      const before = await ends();
      const words = ["streams", "produce", EVENTS, given, "--partition", "0"];
      const { out } = await run(words, input === undefined ? {} : { input });
      const found = (await since(before)).map(({ value }) => Buffer.from(value!));
      const wanted = [Buffer.from("one"), Buffer.alloc(0), Buffer.from([0xff, 0]), Buffer.from("last")];
      expect(found).toEqual(input === undefined ? wanted : [Buffer.from("a\tb")]);
      expect(out).toContain(input === undefined ? "appended 4 records" : "appended 1 record");
    }
  });

  test("keys by a separator, a whole file, and a key that is gone", async () => {
    const before = await ends();
    writeFileSync(join(folder, "pairs"), "a: 1\nb: 2: 3\n");
    expect(await json("streams", "produce", EVENTS, "@pairs", "--separator", ": ")).toEqual([
      { partition: expect.any(Number), offset: expect.any(Number) },
      { partition: expect.any(Number), offset: expect.any(Number) },
    ]);
    await run(["streams", "produce", EVENTS, "@pairs", "--whole", "--key", "all"]);
    await run(["streams", "produce", EVENTS, "--gone", "--key", "a"]);
    const found = (await since(before)).map(({ key, value }) => `${text(key)}=${text(value)}`);
    expect(found.sort()).toEqual(["a=1", "a=undefined", "all=a: 1\nb: 2: 3\n", "b=2: 3"]);
  });

  test.each<[string, string[], number, RegExp]>([
    ["no value", [], 2, /give a value: a text, @file, or -/],
    ["a value of what is gone", ["v", "--gone"], 2, /--gone: a record without value/],
    ["two ways to give keys", ["v", "--key", "k", "--separator", ","], 2, /give one of them/],
    ["a line without the separator", ["v", "--separator", ","], 2, /--separator: line 1 has no ","/],
    ["a file that is not there", ["@none"], 1, /none: there is no such file/],
    ["a partition there is none of", ["v", "--partition", "3"], 1, /partition of stream orders-events: 0 to 2, got 3/],
    ["a partition that is no number", ["v", "--partition", "x"], 2, /whole number from 0/],
  ])("refuses %s", async (_name, words, code, said) => {
    const before = await ends();
    const ended = await run(["streams", "produce", EVENTS, ...words]);
    expect(ended.err).toMatch(said);
    expect(ended.code).toBe(code);
    expect(await ends()).toEqual(before);
  });

  test("refuses a stream there is none of, with the names there are", async () => {
    const { code, err } = await run(["streams", "produce", "nobody", "v"]);
    expect({ code, err }).toEqual({ code: 1, err: `millrace: there is no stream "nobody"; there are ${EVENTS}\n` });
  });
});

describe("tail", () => {
  test("the last records, or from somewhere on; what is no text as it is", async () => {
    const before = await ends();
    const records = Array.from({ length: 12 }, (_, n) => ({ partition: n % 2, value: `v${n}`, timestamp: 1000 + n }));
    await client.streams.produce(EVENTS, [
      ...records,
      { partition: 0, key: "k\u001b[31m", value: new Uint8Array([0xff, 0]), headers: { h: "x" }, timestamp: 9e15 },
    ]);
    const last = await run(["streams", "tail", EVENTS, "--partition", "1", "--limit", "2"]);
    expect(last.out).toMatch(new RegExp(`^1/\\d+  ${TIME}  v9\\n1/\\d+  ${TIME}  v11\\n$`));
    const odd = await run(["streams", "tail", EVENTS, "--partition", "0", "--limit", "1"]);
    expect(odd.out).toBe(`0/${before[0]! + 6}  9000000000000000  k  h=x  0xff00\n`);

    const from = ["--partition", "1", "--from", String(before[1]! + 1), "--limit", "3"];
    const { out } = await run(["streams", "tail", EVENTS, ...from]);
    expect(out.split("\n").map((line) => line.split("  ").at(-1))).toEqual(["v3", "v5", "v7", ""]);
    const [line] = (await run(["streams", "tail", EVENTS, "--partition", "0", "--limit", "1", "--json"])).out.split(
      "\n",
    );
    expect(JSON.parse(line!)).toEqual({
      ...{ partition: 0, offset: before[0]! + 6, timestamp: 9e15 },
      ...{ key: "k\u001b[31m", value: { base64: "/wA=" }, headers: { h: "x" } },
    });
    const none = await run(["streams", "tail", EVENTS, "--from", "latest"]);
    expect(none).toEqual({ code: 0, out: "", err: "no records\n" });
  });

  test("all from the first on, partition for partition in order, and by time where that allows", async () => {
    const { out } = await run(["streams", "tail", EVENTS, "--from", "earliest", "--json"]);
    const shown = out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { partition: number; offset: number });
    const next = await ends();
    for (const [partition, end] of next.entries()) {
      const offsets = shown.filter((record) => record.partition === partition).map(({ offset }) => offset);
      expect(offsets).toEqual([...Array(end).keys()]);
    }
  });

  test("--follow shows what comes, until Ctrl-C", async () => {
    let sent = 0;
    const send = async (value: string) => {
      sent += 1;
      await client.streams.produce(EVENTS, [{ value }]);
    };
    const { code, out } = await run(["streams", "tail", EVENTS, "--from", "latest", "--follow"], {
      onStart: (child) => {
        // It says nothing before there is something: until it is seen, there is always more.
        const timer = setInterval(() => void send(`new ${sent}`), 200);
        child.on("close", () => clearInterval(timer));
      },
      onOutput: (text, child) => {
        if (/new \d+\n(.*\n)*.*new \d+\n/.test(text)) child.kill("SIGINT");
      },
    });
    expect(code).toBe(130);
    const numbers = [...out.matchAll(/new (\d+)/g)].map(([, number]) => Number(number));
    expect(numbers.length).toBeGreaterThan(1);
    expect(new Set(numbers).size).toBe(numbers.length);
  });

  test.each<[string, string[], number, RegExp]>([
    ["an end where there is none", ["--from", "earliest", "--limit", "1", "--follow"], 2, /leave one of them out/],
    ["a place that is none", ["--from", "middle"], 2, /earliest, latest, or an offset/],
    ["a partition there is none of", ["--partition", "7"], 1, /stream orders-events has 0 to 2, got 7/],
  ])("refuses %s", async (_name, words, code, said) => {
    const ended = await run(["streams", "tail", EVENTS, ...words]);
    expect(ended.err).toMatch(said);
    expect(ended.code).toBe(code);
  });
});

test("ls and lag: streams, partitions, groups", async () => {
  await client.streams.produce(EVENTS, [{ partition: 1, value: "a" }]);
  const [zero, one, two] = await ends();
  view.places.begin("count", EVENTS, "latest");
  view.places.begin("archive", EVENTS, "earliest");
  view.places.move("archive", EVENTS, 1, one! - 1);
  const total = zero! + one! + two!;
  expect((await run(["streams", "ls"])).out).toMatch(
    new RegExp(`^STREAM +PARTITIONS +RECORDS\\n${EVENTS} +3 +${total}\\n$`),
  );
  expect((await run(["streams", "ls", "orders"])).out).toMatch(new RegExp(`\\n1 +0 +${one} +${one}\\n`));
  expect(await json("streams", "ls")).toEqual([
    { stream: EVENTS, partitions: [zero, one, two].map((next, partition) => ({ partition, first: 0, next })) },
  ]);
  expect((await run(["streams", "lag"])).out).toMatch(
    new RegExp(`^STREAM +GROUP +LAG\\n${EVENTS} +archive +${zero! + 1 + two!}\\n${EVENTS} +count +0\\n$`),
  );
  expect((await run(["streams", "lag", EVENTS])).out).toMatch(new RegExp(`\\narchive +1 +${one! - 1} +1\\n`));
  expect((await json<{ group: string; lag: number }[]>("streams", "lag", EVENTS))[1]).toMatchObject({
    stream: EVENTS,
    group: "count",
    lag: 0,
  });
});

test("--help has examples", async () => {
  for (const verb of ["ls", "produce", "tail", "lag"]) {
    const { out } = await run(["streams", verb, "--help"]);
    expect(out).toMatch(new RegExp(`Examples:\\n(.*\\n)*.*millrace streams ${verb}`));
  }
});
