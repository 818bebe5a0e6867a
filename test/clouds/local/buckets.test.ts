import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { Buckets } from "../../../lib/clouds/local/host/buckets.ts";
import { VirtualClock } from "../../../lib/clouds/local/host/virtual-clock.ts";
import type { BucketPlan } from "../../../lib/parts/plan.ts";
import { MillraceError } from "../../../lib/runtime/errors.ts";
import type { BucketCreated } from "../../../lib/runtime/events.ts";
import { bucketPlan } from "./plans.ts";
import { workspace } from "./workspace.ts";

const space = workspace();

function local({
  journal = space.journal(),
  clock = new VirtualClock(),
  plan = {},
}: {
  journal?: ReturnType<typeof space.journal>;
  clock?: VirtualClock;
  plan?: Partial<BucketPlan>;
} = {}) {
  const events: BucketCreated[] = [];
  const buckets = new Buckets({ journal, clock, onCreated: (event) => events.push(event) });
  buckets.define(bucketPlan("media", plan));
  buckets.define(bucketPlan("other"));
  const media = { ...buckets.reader("media"), ...buckets.writer("media"), ...buckets.remover("media") };
  return { buckets, media, journal, clock, events };
}

/** The contents that are there, by hash. */
const contents = (folder: string): readonly string[] =>
  existsSync(join(folder, "blobs"))
    ? readdirSync(join(folder, "blobs"), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map(({ name }) => name)
        .sort()
    : [];
const staged = (folder: string) => readdirSync(join(folder, "staging"));
const sha256 = (bytes: string | Uint8Array) => createHash("sha256").update(bytes).digest("hex");
/** Lets the grace period go by, and collects. */
const collect = async ({ buckets, clock }: { buckets: Buckets; clock: VirtualClock }) => {
  await clock.advance("2 hours");
  buckets.run(clock.now());
};

describe("contents", () => {
  it("are read-only files named by their hash, one for all objects that have it", async () => {
    const { media, journal } = local();
    const { etag } = await media.put("a", "same");
    await media.put("b", "same");
    expect(contents(journal.folder)).toEqual([sha256("same")]);
    expect(etag).toBe(sha256("same").slice(0, 32));
    const path = await media.file("a");
    expect(statSync(path).mode & 0o777).toBe(0o444);
    expect(staged(journal.folder)).toEqual([]);
  });

  it("go when no object has had them for an hour, and not before", async () => {
    const { buckets, media, journal, clock } = local();
    await media.put("a", "shared");
    await media.put("b", "shared");
    await media.put("c", "old");
    await media.remove("a");
    await media.put("c", "new");
    const path = await media.file("b");
    await media.remove("b");
    expect(buckets.next()).toBe(clock.now() + 3_600_000);
    await clock.advance("59 minutes");
    buckets.run(clock.now());
    expect(readFileSync(path, "utf8")).toBe("shared");
    await collect({ buckets, clock });
    expect(contents(journal.folder)).toEqual([sha256("new")]);
    expect(buckets.next()).toBeUndefined();
  });

  it("stay when another object took them meanwhile", async () => {
    const { buckets, media, clock } = local();
    await media.put("a", "content");
    await media.remove("a");
    await clock.advance("30 minutes");
    await media.put("b", "content");
    await media.put("c", "content");
    await media.remove("c");
    await collect({ buckets, clock });
    expect(String(await media.get("b"))).toBe("content");
  });

  it("of a put that was refused go too", async () => {
    const { buckets, media, journal, clock } = local();
    await media.put("a", "first");
    const slow = media.put("a", Buffer.alloc(2_000_000), { ifNoneMatch: "*" });
    await expect(slow).rejects.toMatchObject({ kind: "conflict" });
    const racing = [media.put("b", "one", { ifNoneMatch: "*" }), media.put("b", "two", { ifNoneMatch: "*" })];
    await Promise.allSettled(racing);
    await collect({ buckets, clock });
    expect(contents(journal.folder)).toHaveLength(2);
    expect(staged(journal.folder)).toEqual([]);
  });

  it("can be kept by a link in a folder of one's own", async () => {
    const { buckets, media, journal, clock } = local();
    await media.put("dir/../film.mp4", "film");
    const into = join(journal.folder, "scratch");
    mkdirSync(into);
    const { path, info } = await buckets.path("media", "dir/../film.mp4", { into });
    expect(info.size).toBe(4);
    expect(path).toMatch(/\/scratch\/[^/]+\.mp4$/);
    await media.remove("dir/../film.mp4");
    await collect({ buckets, clock });
    expect(contents(journal.folder)).toEqual([]);
    expect(readFileSync(path, "utf8")).toBe("film");
  });
});

describe("an event", () => {
  it("tells of every put, each by an id of its own", async () => {
    const { media, events, clock } = local();
    await media.put("a/ü.txt", "same");
    await media.put("a/ü.txt", "same");
    const time = new Date(clock.now()).toISOString();
    const event = {
      type: "bucket.created",
      bucket: "media",
      key: "a/ü.txt",
      size: 4,
      etag: sha256("same").slice(0, 32),
      time,
    };
    expect(events).toEqual([
      { ...event, id: "media-1" },
      { ...event, id: "media-2" },
    ]);
  });

  it("that cannot be kept takes its object with it", async () => {
    const journal = space.journal();
    const onCreated = () => {
      throw new Error("no room for the event");
    };
    const buckets = new Buckets({ journal, clock: new VirtualClock(), onCreated });
    buckets.define(bucketPlan("media"));
    await expect(buckets.writer("media").put("a", "x")).rejects.toThrow("no room for the event");
    expect(buckets.head("media", "a")).toBeUndefined();
    expect(staged(journal.folder)).toEqual([]);
  });

  it("is told to listeners when all is done, as a removal is", async () => {
    const { buckets, media } = local();
    const changes: unknown[] = [];
    const stop = buckets.onChange(({ key }) => changes.push([key, buckets.head("media", key)?.size]));
    await media.put("a", "123");
    await media.remove("a");
    await media.remove("a");
    stop();
    await media.put("a", "");
    expect(changes).toEqual([
      ["a", 3],
      ["a", undefined],
    ]);
  });
});

describe("expiry", () => {
  it("hides at once, and removes when it is time", async () => {
    const { buckets, media, journal, clock } = local({ plan: { expires: 60 } });
    await media.put("a", "old");
    await clock.advance("30 seconds");
    await media.put("b", "young");
    expect(buckets.next()).toBe(clock.now() + 30_000);
    await clock.advance("30 seconds");
    expect(await media.head("a")).toBeUndefined();
    await expect(media.get("a")).rejects.toMatchObject({ kind: "not-found" });
    expect((await media.list()).objects.map(({ key }) => key)).toEqual(["b"]);
    const removed: string[] = [];
    buckets.onChange(({ key }) => removed.push(key));
    buckets.run(clock.now());
    expect(removed).toEqual(["a"]);
    await media.put("a", "new life", { ifNoneMatch: "*" });
    await collect({ buckets, clock });
    await collect({ buckets, clock });
    expect(contents(journal.folder)).toEqual([]);
  });
});

describe("files", () => {
  it("that a child staged become objects", async () => {
    const { buckets, journal } = local();
    const path = buckets.stage();
    writeFileSync(path, "written by a child");
    const info = await buckets.commit("media", "out.txt", path, { contentType: "text/plain" });
    expect(info).toMatchObject({ size: 18, contentType: "text/plain" });
    expect(
      statSync(join(journal.folder, "blobs", sha256("written by a child").slice(0, 2), sha256("written by a child")))
        .mode & 0o222,
    ).toBe(0);
    expect(staged(journal.folder)).toEqual([]);
  });

  it("from elsewhere are not committed", async () => {
    const { buckets, journal } = local();
    const outside = join(journal.folder, "secret");
    writeFileSync(outside, "secret");
    await expect(buckets.commit("media", "a", outside)).rejects.toThrow("a staged file is what stage() named");
    await expect(buckets.commit("media", "a", join(buckets.stage(), "../../secret"))).rejects.toThrow("staged file");
    const link = buckets.stage();
    symlinkSync(outside, link);
    await expect(buckets.commit("media", "a", link)).rejects.toThrow("staged file");
    expect(readFileSync(outside, "utf8")).toBe("secret");
  });

  it("that are put are gone afterwards, and stay when the put fails", async () => {
    const { media, journal } = local();
    const path = join(journal.folder, "file");
    writeFileSync(path, "content");
    await media.put("a", "x");
    await expect(media.putFile("a", path, { ifNoneMatch: "*" })).rejects.toMatchObject({ kind: "conflict" });
    expect(readFileSync(path, "utf8")).toBe("content");
    await media.putFile("b", path);
    expect(existsSync(path)).toBe(false);
  });

  it("that are another object's content, linked or links are copied", async () => {
    const { buckets, media, journal } = local();
    await media.put("a", "content");
    await buckets.writer("other").putFile("copy", await media.file("a"));
    expect(String(await media.get("a"))).toBe("content");
    const path = join(journal.folder, "file");
    writeFileSync(path, "mine");
    linkSync(path, `${path}-linked`);
    symlinkSync(path, `${path}-link`);
    await media.putFile("linked", path);
    await media.putFile("link", `${path}-link`);
    writeFileSync(path, "overwritten");
    expect(String(await media.get("linked"))).toBe("mine");
    expect(String(await media.get("link"))).toBe("mine");
  });
});

describe("a bucket", () => {
  it("that is not there is named", () => {
    const { buckets } = local();
    expect(() => buckets.reader("med")).toThrow("no bucket med; there are: media, other");
    expect(() => buckets.writer("med")).toThrow(MillraceError);
    expect(buckets.names()).toEqual(["media", "other"]);
  });

  it("finds everything by index", async () => {
    const { buckets, media, journal, clock } = local({ plan: { expires: 60 } });
    await media.put("a", "x");
    await media.put("a", "y");
    await media.list({ prefix: "a", after: "a" });
    await media.remove("a");
    buckets.next();
    await collect({ buckets, clock });
    expect(journal.slowSteps().filter((step) => !step.includes("bucket_events"))).toEqual([]);
  });
});

describe("a killed host", () => {
  it("leaves objects whole or not at all", { timeout: 60_000 }, async () => {
    const folder = space.folder();
    const acknowledged = new Map<string, { etag: string; size: number }>();
    const removing = new Set<string>();
    for (let round = 0; round < 8; round += 1) {
      for (const fact of await putUntilKilled(folder, round, 20 + Math.random() * 400)) {
        if ("removing" in fact) removing.add(fact.removing);
        else acknowledged.set(fact.key, fact);
      }
      const journal = space.journal(folder);
      const clock = new VirtualClock(Date.now() + 60_000);
      const { buckets, media } = local({ journal, clock });
      expect(staged(folder)).toEqual([]);
      const { objects } = await media.list();
      for (const { key, etag, size } of objects) {
        const bytes = readFileSync(await media.file(key));
        expect(bytes.length).toBe(size);
        expect(sha256(bytes).slice(0, 32)).toBe(etag);
      }
      for (const [key, { etag, size }] of acknowledged)
        if (!removing.has(key)) expect(await media.head(key)).toMatchObject({ etag, size });
      await collect({ buckets, clock });
      expect(contents(folder).map((hash) => hash.slice(0, 32))).toEqual(
        [...new Set((await media.list()).objects.map(({ etag }) => etag))].sort(),
      );
      space.close(journal);
    }
    expect(acknowledged.size).toBeGreaterThan(10);
  });
});

type Fact = { readonly key: string; readonly etag: string; readonly size: number } | { readonly removing: string };

async function putUntilKilled(folder: string, round: number, milliseconds: number): Promise<readonly Fact[]> {
  const script = fileURLToPath(new URL("./putting.ts", import.meta.url));
  const child = spawn(process.execPath, [script, folder, String(round)], { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  await once(child.stdout, "data");
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
  child.kill("SIGKILL");
  await once(child, "close");
  const [, ...facts] = said.split("\n").slice(0, -1);
  return facts.map((fact) => JSON.parse(fact));
}

/** A disk of its own for one process. https://man7.org/linux/man-pages/man1/unshare.1.html */
const onSmallDisk = [
  "--user",
  "--map-root-user",
  "--mount",
  "sh",
  "-ec",
  'mount -t tmpfs -o size=2m none "$0"; exec "$@"',
];
const hasSmallDisks = spawnSync("unshare", [...onSmallDisk, "/mnt", "true"]).status === 0;

describe("a full disk", () => {
  it("is said, leaves nothing behind, and is over when there is room", ({ skip }) => {
    skip(!hasSmallDisks, "this system lets no process mount a disk of its own");
    const script = fileURLToPath(new URL("./filling.ts", import.meta.url));
    const folder = space.folder();
    const { stdout, stderr, status } = spawnSync(
      "unshare",
      [...onSmallDisk, folder, process.execPath, script, folder],
      { encoding: "utf8" },
    );
    expect({ stderr, status }).toEqual({ stderr: "", status: 0 });
    const full = { kind: "unavailable", message: `the disk of ${folder} is full; make room, then try again` };
    expect(JSON.parse(stdout)).toEqual({
      put: full,
      file: { ...full, stillThere: true },
      queue: full,
      staged: [],
      before: "kept",
      objects: ["a"],
      afterRoom: 700_000,
    });
  });
});
