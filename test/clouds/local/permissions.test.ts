import { readFileSync } from "node:fs";
import { copyFile, link as hardLink, rename } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { GRANTS, Permissions } from "../../../lib/clouds/local/host/permissions.ts";
import type { Action } from "../../../lib/parts/plan.ts";
import { functionPlan, link, makeFolder, makeHost } from "./fixtures/kit.ts";

describe("permissions", () => {
  it("name what is missing and the line that grants it", () => {
    const permissions = new Permissions();
    permissions.define(
      functionPlan("videos-transcode", {
        links: { uploads: link("videos-uploads", "bucket.read"), jobs: link("videos-jobs", "queue.send") },
      }),
    );
    expect(permissions.check("videos-transcode", "uploads", "open")).toEqual({
      part: "videos-uploads",
      action: "bucket.read",
    });
    const check = (name: string, method: string) => () => permissions.check("videos-transcode", name, method);
    expect(check("uploads", "commit")).toThrow(
      'function "videos-transcode" may not put objects into "videos-uploads"; link it: links: { uploads: all(read(uploads), write(uploads)) }',
    );
    expect(check("jobs", "receive")).toThrow(/may not receive messages from "videos-jobs"/);
    expect(check("uploads", "format")).toThrow(/bucket "videos-uploads" knows no "format"/);
    expect(check("uploads", "constructor")).toThrow(/knows no/);
    expect(check("other", "get")).toThrow(/has no link "other"/);
    expect(check("uploads", "stage")).toThrow(expect.objectContaining({ kind: "refused" }));
  });

  it("grant each action its methods and no others of its kind", () => {
    const permissions = new Permissions();
    for (const action of Object.keys(GRANTS) as Action[]) {
      permissions.define(functionPlan("f", { links: { it: link("part", action) } }));
      for (const other of Object.keys(GRANTS) as Action[]) {
        for (const method of GRANTS[other].methods) {
          const check = () => permissions.check("f", "it", method);
          if (action === other) expect(check()).toEqual({ part: "part", action });
          else if (action.split(".")[0] === other.split(".")[0]) expect(check).toThrow(/may not/);
        }
      }
    }
  });

  it("remember what was made use of", () => {
    const permissions = new Permissions();
    const links = { b: link("bucket", "bucket.read", "bucket.write"), q: link("queue", "queue.send") };
    permissions.define(functionPlan("f", { links }));
    for (const [name, method] of [
      ["q", "send"],
      ["b", "head"],
      ["b", "list"],
    ] as const)
      permissions.check("f", name, method);
    expect(permissions.usedVerbs("f")).toEqual([
      { part: "bucket", action: "bucket.read" },
      { part: "queue", action: "queue.send" },
    ]);
    expect(permissions.usedVerbs("g")).toEqual([]);
  });
});

/** Buckets as the host sees them, on plain files. */
function makeBuckets(folder: string) {
  const objects = new Map<string, string>();
  let staged = 0;
  return {
    objects,
    stage: () => join(folder, `staged-${++staged}`),
    path: async (bucket: string, key: string, { into }: { into?: string } = {}) => {
      const path = objects.get(`${bucket}/${key}`);
      if (path === undefined) throw Object.assign(new Error(`no object "${key}"`), { kind: "not-found" });
      if (into === undefined) return { path };
      const linked = join(into, "object.mp4");
      await hardLink(path, linked);
      return { path: linked };
    },
    commitPiece: () => Promise.reject(new Error("no uploads here")),
    commit: async (bucket: string, key: string, path: string) => {
      const blob = join(folder, `blob-${objects.size}`);
      await rename(path, blob);
      objects.set(`${bucket}/${key}`, blob);
      return { key, size: readFileSync(blob).length, etag: "e", modified: "", metadata: {} };
    },
  };
}

describe("a handler's links", () => {
  it("put and get contents without a copy through the channel", async () => {
    const folder = makeFolder();
    const buckets = makeBuckets(folder);
    const { define, functions, permissions } = makeHost({ folder, buckets });
    define(
      "copies",
      `async (event, { links: { store }, scratch }) => {
        await store.put("text", "一二三");
        await store.put("stream", Readable.from(["0123", "456789"]));
        const file = join(scratch, "my file");
        await writeFile(file, Buffer.alloc(3_000_000, 7));
        const put = await store.putFile("big", file);
        const chunks = [];
        for await (const chunk of await store.stream("stream", { range: [2, 5] })) chunks.push(chunk);
        const path = await store.file("big");
        return {
          bucket: store.bucket, put: put.size, moved: await stat(file).then(() => false, () => true),
          text: String(await store.get("text")), range: String(await store.get("stream", { range: [8, 100] })),
          streamed: String(Buffer.concat(chunks)), big: (await stat(path)).size, ends: path.endsWith(".mp4"),
          missing: await store.get("missing").catch((error) => error.kind),
          beyond: await store.get("text", { range: [9, 9] }).catch((error) => error.kind),
          empty: (await readdir(scratch)).length,
        };
      }`,
      { links: { store: link("videos-store", "bucket.read", "bucket.write") } },
      `import { readdir, stat, writeFile } from "node:fs/promises"; import { join } from "node:path"; import { Readable } from "node:stream";`,
    );
    expect(await functions.invoke("copies", null)).toEqual({
      bucket: "videos-store",
      put: 3_000_000,
      moved: true,
      text: "一二三",
      range: "89",
      streamed: "2345",
      big: 3_000_000,
      ends: true,
      missing: "not-found",
      beyond: "bad-input",
      empty: 0,
    });
    expect(permissions.usedVerbs("copies")).toEqual([
      { part: "videos-store", action: "bucket.read" },
      { part: "videos-store", action: "bucket.write" },
    ]);
  });

  it("are refused by the host, whatever the process asks", async () => {
    const folder = makeFolder();
    const buckets = makeBuckets(folder);
    const { define, functions } = makeHost({ folder, buckets });
    define(
      "greedy",
      `async (event, { links }) => {
        const said = [];
        for (const ask of [() => links.uploads.put("k", "x"), () => links.uploads.remove("k"), () => links.jobs.receive()])
          said.push(await ask().then(() => "allowed", (error) => error.kind + ": " + error.message));
        return said;
      }`,
      { links: { uploads: link("videos-uploads", "bucket.read"), jobs: link("videos-jobs", "queue.send") } },
    );
    expect(await functions.invoke("greedy", null)).toEqual([
      expect.stringContaining('refused: function "greedy" may not put objects into "videos-uploads"'),
      expect.stringContaining('refused: function "greedy" may not remove objects from "videos-uploads"'),
      expect.stringContaining('refused: function "greedy" may not receive messages from "videos-jobs"'),
    ]);
    expect(buckets.objects.size).toBe(0);
  });

  it("put on condition of an etag only where they may read it", async () => {
    const folder = makeFolder();
    const { define, functions } = makeHost({ folder, buckets: makeBuckets(folder) });
    const body = `(event, { links }) => links.out.put("k", "x", { ifMatch: "e" }).then(() => "put", (error) => error.message)`;
    define("writes", body, { links: { out: link("out", "bucket.write") } });
    define("looks", body, { links: { out: link("out", "bucket.read", "bucket.write") } });
    expect(await functions.invoke("writes", null)).toMatch(/may not read objects of "out"; link it: .*all\(/);
    expect(await functions.invoke("looks", null)).toBe("put");
  });

  it("commit only what was written where the host said", async () => {
    const folder = makeFolder();
    const buckets = makeBuckets(folder);
    const { define, functions } = makeHost({ folder, buckets });
    define(
      "cheats",
      `async (event, { links, scratch }) => {
        const send = process.send.bind(process);
        process.send = (message, ...rest) => send(message.method === "commit" ? { ...message, args: ["k", "/etc/passwd"] } : message, ...rest);
        return links.out.put("k", "x").catch((error) => error.message);
      }`,
      { links: { out: link("out", "bucket.write") } },
    );
    expect(await functions.invoke("cheats", null)).toMatch(/is no place that this invocation was given/);
    await expect(copyFile(join(folder, "staged-1"), join(folder, "x"))).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("pass arguments and answers of ports, and say which argument cannot travel", async () => {
    const sent: unknown[] = [];
    const port = () => ({
      send: async (...args: unknown[]) => `m${sent.push(args)}`,
      query: async () => ({ rows: [{ partition: "p", sort: "s", value: { n: 1 }, version: "1" }] }),
    });
    const { define, functions } = makeHost({ port });
    define(
      "talks",
      `async (event, { links }) => [
        await links.jobs.send("hello", { delay: 3 }),
        await links.rows.query("p"),
        await links.jobs.send("x", { attributes: { f: () => 1 } }).catch((error) => error.message),
      ]`,
      { links: { jobs: link("jobs", "queue.send"), rows: link("rows", "table.read") } },
    );
    expect(await functions.invoke("talks", null)).toEqual([
      "m1",
      { rows: [{ partition: "p", sort: "s", value: { n: 1 }, version: "1" }] },
      expect.stringContaining("jobs.send: an argument is not plain data"),
    ]);
    expect(sent).toEqual([["hello", { delay: 3 }]]);
  });
});
