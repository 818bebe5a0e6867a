import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { cloudFolder } from "./cloud.ts";

const { folder, client, run, json } = cloudFolder();

describe("buckets", () => {
  const BUCKET = "videos-uploads";

  test("ls: buckets, and objects by prefix", async () => {
    const bucket = client.buckets.bucket(BUCKET);
    for (const key of ["ls/a", "ls/b\u001b[31m", "lt"]) await bucket.put(key, "12345");
    expect(await json("buckets", "ls")).toEqual([
      { name: "videos-uploads", construct: "videos" },
      { name: "videos-outputs", construct: "videos" },
    ]);
    expect(await json("buckets", "ls", BUCKET, "ls/")).toMatchObject([
      { key: "ls/a", size: 5 },
      { key: "ls/b\u001b[31m" },
    ]);
    const { out, err } = await run(["buckets", "ls", BUCKET, "l", "--limit", "2"]);
    expect(out).toMatch(/^KEY +SIZE +MODIFIED\nls\/a +5 B +\d{4}-.*\nls\/b +5 B /);
    expect(err).toContain("more than 2");
  });

  test("put: under its name, a prefix, a key; several; from standard input", async () => {
    const bucket = client.buckets.bucket(BUCKET);
    for (const name of ["größe +%2F.mp4", "b.txt"]) writeFileSync(join(folder, name), name);
    const put = await run(["buckets", "put", BUCKET, "größe +%2F.mp4", "b.txt", "--key", "put/"]);
    expect(put).toMatchObject({
      code: 0,
      out: `put ${BUCKET} put/größe +%2F.mp4 (16 B)\nput ${BUCKET} put/b.txt (5 B)\n`,
    });
    expect(await bucket.head("put/größe +%2F.mp4")).toMatchObject({ contentType: "video/mp4" });
    await run(["buckets", "put", BUCKET, "-", "--key", "put/input"], { input: "from a pipe" });
    expect(String(await bucket.get("put/input"))).toBe("from a pipe");
    expect(await json("buckets", "put", BUCKET, "./b.txt", "--content-type", "text/x")).toMatchObject([
      { key: "b.txt", contentType: "text/x" },
    ]);
  });

  test.each<[string, string[], number, RegExp]>([
    ["a file that is not there", ["none.mp4"], 1, /none\.mp4: there is no such file/],
    ["a folder", ["."], 2, /it is a folder; name files/],
    ["several under one key", ["b.txt", "b.txt", "--key", "one"], 2, /with 2 files it must end in \//],
    ["standard input without a key", ["-"], 2, /--key: name the key/],
  ])("put: refuses %s", async (_name, words, code, said) => {
    const ended = await run(["buckets", "put", BUCKET, ...words]);
    expect(ended.err).toMatch(said);
    expect(ended.code).toBe(code);
  });

  test("get: never over a file, never outside the place named", async () => {
    const bucket = client.buckets.bucket(BUCKET);
    const content = Buffer.from([0, 255, 10, 13]);
    for (const key of ["get/a.bin", "get/../../../escape.bin", "get/..", "get/x\\y", "get/"])
      await bucket.put(key, content);
    const cwd = join(folder, "deep", "er");
    mkdirSync(join(cwd, "into"), { recursive: true });
    const get = (...words: string[]) =>
      run(["buckets", "get", BUCKET, ...words, "--folder", join(folder, ".millrace")], { cwd });

    expect(await get("get/a.bin")).toMatchObject({ code: 0, out: "got get/a.bin as a.bin (4 B)\n" });
    expect(readFileSync(join(cwd, "a.bin"))).toEqual(content);
    await bucket.put("get/a.bin", "new");
    expect(await get("get/a.bin")).toMatchObject({ code: 1, err: expect.stringContaining("a.bin is there already") });
    expect(readFileSync(join(cwd, "a.bin"))).toEqual(content);
    expect((await get("get/a.bin", "--force")).code).toBe(0);
    expect(readFileSync(join(cwd, "a.bin"), "utf8")).toBe("new");
    expect((await get("get/a.bin", "into")).out).toContain("as into/a.bin");

    expect((await get("get/../../../escape.bin")).out).toContain("as escape.bin");
    for (const key of ["get/..", "get/x\\y", "get/"]) expect(await get(key)).toMatchObject({ code: 2, out: "" });
    symlinkSync(join(folder, "outside"), join(cwd, "link"));
    expect(await get("get/a.bin", "link")).toMatchObject({
      code: 1,
      err: expect.stringContaining("link is there already"),
    });
    expect((await get("get/a.bin", "link", "--force")).code).toBe(0);
    expect(await get("get/a.bin", "none/a.bin")).toMatchObject({
      code: 1,
      err: "millrace: none: there is no such folder\n",
    });
    expect(existsSync(join(folder, "outside"))).toBe(false);
    expect(await get("get/none")).toMatchObject({ code: 1, err: expect.stringContaining('no object "get/none"') });
    expect(readdirSync(cwd).sort()).toEqual(["a.bin", "escape.bin", "into", "link"]);
    expect(readdirSync(folder)).not.toContain("escape.bin");
  });

  test("get: to standard output, byte by byte", async () => {
    const text = "0123456789".repeat(200_000);
    await client.buckets.bucket(BUCKET).put("get/large", text);
    const { out, code } = await run(["buckets", "get", BUCKET, "get/large", "-"]);
    expect(code).toBe(0);
    expect(out === text).toBe(true);
  });
});

test("queues: send, ls, peek, redrive", async () => {
  expect(
    (await run(["queues", "send", "videos-failures", "-", "--attribute", "a=b"], { input: "x\u001b[31m\ny" })).out,
  ).toBe("sent message-1\n");
  expect(await json("queues", "send", "videos-failures", "2", "--delay", "10s")).toEqual({ id: "message-2" });
  expect(await json("queues", "ls")).toContainEqual({
    name: "videos-failures",
    ready: 2,
    inFlight: 0,
    delayed: 0,
    oldest: expect.any(String),
  });
  expect((await run(["queues", "peek", "videos-failures"])).out).toMatch(
    /^message-1 {2}sent .* {2}received 0 times {2}a=b\n {2}x⏎y\nmessage-2/,
  );
  expect(await json("queues", "peek", "videos-failures", "--limit", "1")).toMatchObject([{ body: "x\u001b[31m\ny" }]);
  expect((await run(["queues", "redrive", "videos-failures", "--limit", "1"])).out).toBe("moved 1 message\n");
  expect(await json("queues", "redrive", "videos-failures", "--to", "resize")).toEqual({ moved: 1 });
});
