import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { Buckets } from "../../../lib/clouds/local/host/buckets.ts";
import { DropFolder, toSegments } from "../../../lib/clouds/local/host/drop-folder.ts";
import type { Journal } from "../../../lib/clouds/local/host/journal.ts";
import { systemClock } from "../../../lib/runtime/clock.ts";
import { bucketPlan } from "./plans.ts";
import { workspace } from "./workspace.ts";

/** Milliseconds a file is still before it is taken. */
const SETTLE = 100;

vi.setConfig({ testTimeout: 30_000 });

const space = workspace();
const folders: DropFolder[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await folder.close();
});

async function local({
  journal = space.journal(),
  copies = false,
  settle = SETTLE,
}: {
  journal?: Journal;
  copies?: boolean;
  settle?: number;
} = {}) {
  const puts: string[] = [];
  const onCreated = ({ bucket, key }: { bucket: string; key: string }) => void puts.push(`${bucket}:${key}`);
  const buckets = new Buckets({ journal, clock: systemClock, onCreated });
  buckets.define(bucketPlan("uploads"));
  buckets.define(bucketPlan("results"));
  const warnings: string[] = [];
  const say = () => {};
  const log = { debug: say, info: say, warn: (text: string) => void warnings.push(text), error: say };
  const folder = await DropFolder.open({ buckets, journal, log, settle, copies });
  folders.push(folder);
  const path = (...names: string[]) => join(journal.folder, "buckets", ...names);
  const drop = (name: string, content: string) => {
    mkdirSync(dirname(path(name)), { recursive: true });
    writeFileSync(path(name), content);
  };
  const get = async (bucket: string, key: string) => String(await buckets.reader(bucket).get(key));
  const close = async () => {
    folders.splice(folders.indexOf(folder), 1);
    await folder.close();
  };
  return { folder, buckets, journal, puts, warnings, path, drop, get, close };
}

/** Long enough for anything that should not happen to have happened. */
const calm = () => sleep(SETTLE * 6);
const until = (check: () => unknown) => vi.waitFor(check, { timeout: 10_000, interval: 20 });
const isShown = (path: string) => expect(statSync(path).mode & 0o777).toBe(0o444);

describe.each([{ copies: false }, { copies: true }])("a drop folder (copies: $copies)", ({ copies }) => {
  it("makes objects of files, once each", async () => {
    const { path, drop, get, puts, buckets } = await local({ copies });
    drop("uploads/cat.mp4", "meow");
    drop("uploads/deep/er/ünï 100%+#🎬.txt", "text");
    drop("uploads/empty", "");
    await until(() => expect(puts.toSorted()).toHaveLength(3));
    expect(await get("uploads", "cat.mp4")).toBe("meow");
    expect(await get("uploads", "deep/er/ünï 100%+#🎬.txt")).toBe("text");
    expect(buckets.head("uploads", "cat.mp4")?.contentType).toBe("video/mp4");
    await until(() => isShown(path("uploads/cat.mp4")));
    await calm();
    expect(puts).toHaveLength(3);
  });

  it("shows what others put, overwrite and remove, and takes none of it for a drop", async () => {
    const { path, puts, buckets } = await local({ copies });
    const writer = buckets.writer("results");
    await writer.put("a/b/c.txt", "one");
    await until(() => expect(readFileSync(path("results/a/b/c.txt"), "utf8")).toBe("one"));
    isShown(path("results/a/b/c.txt"));
    await writer.put("a/b/c.txt", "two");
    await until(() => expect(readFileSync(path("results/a/b/c.txt"), "utf8")).toBe("two"));
    await buckets.remover("results").remove("a/b/c.txt");
    await until(() => expect(readdirSync(path("results"))).toEqual([]));
    await calm();
    expect(puts).toEqual(["results:a/b/c.txt", "results:a/b/c.txt"]);
  });

  it("takes a file that replaces a shown one, also with the same content", async () => {
    const { path, drop, get, puts, buckets } = await local({ copies });
    await buckets.writer("uploads").put("a.txt", "one");
    await until(() => isShown(path("uploads/a.txt")));
    rmSync(path("uploads/a.txt"));
    drop("uploads/a.txt", "two");
    await until(() => expect(puts).toHaveLength(2));
    expect(await get("uploads", "a.txt")).toBe("two");
    await until(() => isShown(path("uploads/a.txt")));
    writeFileSync(path("uploads/.a.txt.tmp"), "two");
    renameSync(path("uploads/.a.txt.tmp"), path("uploads/a.txt"));
    await until(() => expect(puts).toHaveLength(3));
    await until(() => isShown(path("uploads/a.txt")));
  });

  it("goes on where it stopped", async () => {
    const folder = space.folder();
    const first = await local({ journal: space.journal(folder), copies });
    const write = (key: string, content: string) => first.buckets.writer("uploads").put(key, content);
    for (const key of ["same", "changed", "removed", "hidden", "replaced"]) await write(key, key);
    await until(() => expect(readdirSync(first.path("uploads"))).toHaveLength(5));
    await first.close();
    await write("changed", "changed while nobody looked");
    await first.buckets.remover("uploads").remove("removed");
    rmSync(first.path("uploads/hidden"));
    rmSync(first.path("uploads/replaced"));
    first.drop("uploads/replaced", "dropped while nobody looked");
    first.drop("uploads/new", "new");
    writeFileSync(first.path("uploads/.millrace-left"), "by a killed host");
    space.close(first.journal);

    const { path, get, puts } = await local({ journal: space.journal(folder), copies });
    expect(readFileSync(path("uploads/changed"), "utf8")).toBe("changed while nobody looked");
    expect(readFileSync(path("uploads/hidden"), "utf8")).toBe("hidden");
    await until(() => expect(puts.toSorted()).toEqual(["uploads:new", "uploads:replaced"]));
    expect(await get("uploads", "replaced")).toBe("dropped while nobody looked");
    await until(() => isShown(path("uploads/replaced")));
    await calm();
    expect(puts).toHaveLength(2);
    expect(readdirSync(path("uploads")).toSorted()).toEqual(["changed", "hidden", "new", "replaced", "same"]);
  });
});

describe("a drop folder", () => {
  it("links, so that an object takes its room once", async () => {
    const { path, buckets } = await local();
    await buckets.writer("uploads").put("a", "content");
    const blob = await buckets.reader("uploads").file("a");
    await until(() => expect(statSync(path("uploads/a")).ino).toBe(statSync(blob).ino));
  });

  it("copies for root, who would write through a link into the object", async ({ skip }) => {
    skip(process.getuid?.() !== 0, "only root writes to read-only files");
    const { path, puts, buckets, get } = await local({ copies: true });
    const { etag } = await buckets.writer("uploads").put("a", "content");
    await until(() => isShown(path("uploads/a")));
    spawnSync("cp", [import.meta.filename, path("uploads/a")]); // truncates and writes in place
    await until(() => expect(puts).toHaveLength(2));
    expect(await get("uploads", "a")).toBe(readFileSync(import.meta.filename, "utf8"));
    expect(buckets.head("uploads", "a")?.etag).not.toBe(etag);
  });

  it("keeps the object when its file is removed", async () => {
    const { path, puts, buckets, get } = await local();
    await buckets.writer("uploads").put("a", "content");
    await until(() => isShown(path("uploads/a")));
    rmSync(path("uploads/a"));
    await calm();
    expect(await get("uploads", "a")).toBe("content");
    expect(puts).toHaveLength(1);
  });

  it("takes a renamed file as a new object", async () => {
    const { path, buckets, get } = await local();
    await buckets.writer("uploads").put("a", "content");
    await until(() => isShown(path("uploads/a")));
    renameSync(path("uploads/a"), path("uploads/b"));
    await until(async () => expect(await get("uploads", "b")).toBe("content"));
    expect(await get("uploads", "a")).toBe("content");
  });

  it("never replaces a file that was dropped and is not yet taken", async () => {
    const { drop, path, buckets, get, puts } = await local();
    drop("uploads/a", "dropped");
    await buckets.writer("uploads").put("a", "put meanwhile");
    expect(readFileSync(path("uploads/a"), "utf8")).toBe("dropped");
    await until(() => expect(puts).toHaveLength(2));
    expect(await get("uploads", "a")).toBe("dropped");
  });

  it("waits for a file that is still written", async () => {
    const { path, puts, get } = await local({ settle: 1000 });
    for (let n = 0; n < 10; n += 1) {
      appendFileSync(path("uploads/slow"), "x".repeat(1000));
      await sleep(50);
    }
    await until(() => expect(puts).toHaveLength(1));
    expect(await get("uploads", "slow")).toHaveLength(10_000);
  });

  it("passes over dotfiles, unfinished downloads, links and what is in no bucket", async () => {
    const { path, drop, puts, journal } = await local();
    writeFileSync(join(journal.folder, "secret"), "secret");
    mkdirSync(join(journal.folder, "outside"));
    writeFileSync(join(journal.folder, "outside/file"), "secret");
    for (const name of [".DS_Store", ".hidden/file", "film.mp4.part", "film.mp4.crdownload", "x.PART"])
      drop(`uploads/${name}`, "no");
    drop("nowhere/file", "no");
    drop("file-in-no-bucket", "no");
    symlinkSync(join(journal.folder, "secret"), path("uploads/link"));
    symlinkSync(join(journal.folder, "outside"), path("uploads/linked"));
    drop("uploads/last", "yes");
    await until(() => expect(puts).toEqual(["uploads:last"]));
    await calm();
    expect(puts).toEqual(["uploads:last"]);
    renameSync(path("uploads/film.mp4.part"), path("uploads/film.mp4"));
    await until(() => expect(puts).toEqual(["uploads:last", "uploads:film.mp4"]));
  });

  it("writes nothing outside of itself", async () => {
    const { path, buckets, journal, warnings } = await local();
    const outside = join(journal.folder, "outside");
    mkdirSync(outside);
    symlinkSync(outside, path("uploads/linked"));
    const writer = buckets.writer("uploads");
    const keys = ["../escaped", "/absolute", "a//b", "linked/file", "..", ".", "folder/", "a/../../../escaped"];
    for (const key of [...keys, `${"x".repeat(256)}.txt`, "nul\0"]) await writer.put(key, "no");
    await writer.put("file", "yes");
    await until(() => isShown(path("uploads/file")));
    expect(readdirSync(path("uploads")).toSorted()).toEqual(["file", "linked"]);
    expect(readdirSync(path())).toEqual(["results", "uploads"]);
    expect(readdirSync(outside)).toEqual([]);
    expect(existsSync(join(journal.folder, "escaped"))).toBe(false);
    expect(warnings).toEqual([]);
  });

  it("shows the first of two objects that cannot both be files", async () => {
    const { path, buckets, get, warnings } = await local();
    const writer = buckets.writer("uploads");
    await writer.put("a", "file");
    await writer.put("a/b", "inside");
    await writer.put("c/d", "inside");
    await writer.put("c", "file");
    await writer.put("last", "");
    await until(() => isShown(path("uploads/last")));
    expect(lstatSync(path("uploads/a")).isFile()).toBe(true);
    expect(lstatSync(path("uploads/c/d")).isFile()).toBe(true);
    expect(await get("uploads", "a/b")).toBe("inside");
    await buckets.remover("uploads").remove("a/b");
    await buckets.remover("uploads").remove("c");
    await calm();
    expect(lstatSync(path("uploads/a")).isFile()).toBe(true);
    expect(lstatSync(path("uploads/c/d")).isFile()).toBe(true);
    expect(warnings).toEqual([]);
  });

  it("has a folder for a bucket that came later, once it is told", async () => {
    const { folder, buckets, path, drop, get, puts } = await local();
    buckets.define(bucketPlan("later"));
    await buckets.writer("later").put("a", "content");
    await folder.refresh();
    isShown(path("later/a"));
    drop("later/b", "dropped");
    await until(() => expect(puts).toContain("later:b"));
    expect(await get("later", "b")).toBe("dropped");
  });

  it("says what it cannot take", async () => {
    const { path, drop, warnings, puts } = await local();
    mkdirSync(path(`uploads/${"x".repeat(250)}/${"y".repeat(250)}/${"z".repeat(250)}/${"w".repeat(250)}`), {
      recursive: true,
    });
    drop(`uploads/${"x".repeat(250)}/${"y".repeat(250)}/${"z".repeat(250)}/${"w".repeat(250)}/${"v".repeat(100)}`, "");
    await until(() => expect(warnings.join()).toContain("could not be taken: a key has 1 to 1,024 bytes"));
    expect(puts).toEqual([]);
  });
});

describe("a key's path", () => {
  it("stays inside, whatever the key", () => {
    const name = fc.constantFrom("..", ".", "", "a", "b.txt", "\0", "~", "%2e%2e");
    fc.assert(
      fc.property(fc.array(name, { minLength: 1, maxLength: 6 }), (names) => {
        const segments = toSegments(names.join("/"));
        if (!segments) return;
        const path = join("/drop/bucket", ...segments);
        expect(path).toBe(`/drop/bucket/${names.join("/")}`);
      }),
    );
  });
});
