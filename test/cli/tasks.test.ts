import type { ChildProcess } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { cloudFolder } from "./cloud.ts";

const { folder, view, client, run, json } = cloudFolder();

describe("tasks", () => {
  test("submit: by the construct's name, with everything", async () => {
    const words = "--id s1 --tenant acme --priority -2 --delay 10m --expires 2h --tag a=b --tag c=d=e".split(" ");
    const submitted = await json("tasks", "submit", "videos", '{"a":"猫"}', ...words);
    expect(submitted).toMatchObject({ task: "videos-transcode", id: "s1", tenant: "acme", priority: -2 });
    expect(submitted).toMatchObject({ tags: { a: "b", c: "d=e" }, payloadPreview: '{"a":"猫"}' });
    const again = await run(["tasks", "submit", "videos-transcode", "1", "--id", "s1"]);
    expect(again.err).toContain("--again makes a new one");
  });

  test("submit: from a file, and from standard input", async () => {
    writeFileSync(join(folder, "payload.json"), '{ "from": "file" }');
    await run(["tasks", "submit", "videos", "@payload.json", "--id", "s2"]);
    await run(["tasks", "submit", "videos", "-", "--id", "s3"], { input: '{ "from": "input" }' });
    expect((await client.tasks.audit("videos-transcode", "s2"))?.payload).toEqual({ from: "file" });
    expect((await client.tasks.audit("videos-transcode", "s3"))?.payload).toEqual({ from: "input" });
  });

  test("submit --wait: the exit code tells", async () => {
    const good = await run(["tasks", "submit", "videos", "1", "--id", "w1", "--wait"]);
    expect(good).toMatchObject({ code: 0, err: "" });
    expect(good.out).toMatch(/^videos-transcode w1 succeeded in \d/);
    const bad = await run(["tasks", "submit", "videos", '{"fail":"no\\u001b[31m video"}', "--id", "w2", "--wait"]);
    expect(bad.code).toBe(1);
    expect(bad.out).toMatch(/^videos-transcode w2 failed.*: no video$/m);
  });

  test("submit --wait: Ctrl-C leaves the run alone", async () => {
    const children: ChildProcess[] = [];
    const waiting = run(["tasks", "submit", "resize", '{"run":"on"}', "--id", "w3", "--wait"], {
      onStart: (child) => children.push(child),
    });
    await expect.poll(() => view.tasks.watchers(), { timeout: 5000 }).toBe(1);
    children[0]!.kill("SIGINT");
    const { code, err } = await waiting;
    expect({ code, err }).toEqual({
      code: 130,
      err: "the run goes on; end it with: millrace tasks stop resize-task w3\n",
    });
    expect((await client.tasks.get("resize-task", "w3"))?.status).toBe("running");
    await expect.poll(() => view.tasks.watchers()).toBe(0);
  });

  test("list: newest first, by what is asked", async () => {
    for (const id of ["l1", "l2", "l3"]) await client.tasks.submit("resize-task", 1, { id, tenant: "list" });
    const ids = async (...words: string[]) =>
      (await json<{ id: string }[]>("tasks", "list", "resize", "--tenant", "list", ...words)).map(({ id }) => id);
    expect(await ids()).toEqual(["l3", "l2", "l1"]);
    expect(await ids("--prefix", "l2")).toEqual(["l2"]);
    expect(await ids("--status", "failed,stopped")).toEqual([]);
    expect(await ids("--since", "1h", "--before", "2999-01-01")).toHaveLength(3);
    expect(await ids("--after", "2999-01-01")).toEqual([]);
    const cut = await run(["tasks", "list", "resize", "--tenant", "list", "--limit", "2"]);
    expect(cut.out.split("\n")[0]).toMatch(/^ID +STATUS +DONE +SUBMITTED +TOOK +TRIES +TENANT$/);
    expect(cut.out).toMatch(/^l3 +succeeded +100 % +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d /m);
    expect(cut.err).toBe("there are more than 2; raise --limit, or say which\n");
  });

  test("get: the whole of a run", async () => {
    await client.tasks.submit("resize-task", { secretless: [1, "\u001b[2J"] }, { id: "g1" });
    const { out } = await run(["tasks", "get", "resize", "g1"]);
    for (const part of [
      /^resize-task g1$/m,
      /status +succeeded/,
      /^attempts$/m,
      /submitted by client/,
      /"secretless"/,
      /"done": true/,
    ])
      expect(out).toMatch(part);
    expect(out).not.toContain("\u001b");
    expect(await json("tasks", "get", "resize", "g1")).toMatchObject({ payload: { secretless: [1, "\u001b[2J"] } });
    expect(await run(["tasks", "get", "resize", "nobody"])).toMatchObject({
      code: 1,
      err: expect.stringContaining('no run "nobody"'),
    });
  });

  test("stop and retry: by id; what cannot be done is said, the rest is done", async () => {
    await client.tasks.submit("resize-task", { run: "on" }, { id: "t1" });
    const ended = await run(["tasks", "stop", "resize", "nobody", "t1"]);
    expect(ended).toMatchObject({ code: 1, err: 'millrace: resize-task has no run "nobody"\n' });
    expect(ended.out).toMatch(/^resize-task t1 stopped in /);
    expect(await json("tasks", "retry", "resize", "t1")).toMatchObject([{ id: "t1", status: "queued" }]);
  });

  test("stop: all that match, once they were counted and confirmed", async () => {
    for (const id of ["b1", "b2"]) await client.tasks.submit("resize-task", { run: "on" }, { id, tags: { bulk: "1" } });
    const words = ["tasks", "stop", "resize", "--tag", "bulk=1"];
    expect((await run([...words, "--dry-run"])).out).toBe("2 runs of resize-task would be stopped\n");
    const unsure = await run(words);
    expect(unsure).toMatchObject({ code: 2, err: expect.stringContaining("stop 2 runs of resize-task?") });
    expect((await client.tasks.get("resize-task", "b1"))?.status).toBe("running");
    expect(await json(...words, "--yes")).toEqual({ matched: 2, changed: 2, failed: [] });
    expect((await run(["tasks", "retry", "resize", "--tag", "bulk=1", "--yes"])).out).toBe(
      "2 runs of resize-task retried\n",
    );
  });

  test("logs: as they are, or until the run is over", async () => {
    await client.tasks.submit("resize-task", { run: "on" }, { id: "f1" });
    const followed = await run(["tasks", "logs", "resize", "f1", "--follow", "--json"], {
      onOutput: (text) => {
        if (text.endsWith('client"}\n')) view.tasks.log("resize-task", "f1", "a\u001b[31m\nb");
        if (text.endsWith('\\nb"}\n')) view.tasks.end("resize-task", "f1", { status: "succeeded" });
      },
    });
    expect(followed.code).toBe(0);
    const lines = followed.out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { message: string });
    expect(lines.map(({ message }) => message)).toEqual(["by client", "a\u001b[31m\nb"]);
    const { out } = await run(["tasks", "logs", "resize", "f1"]);
    expect(out).toMatch(/^\d\d:\d\d:\d\d by client\n\d\d:\d\d:\d\d a\n +b\n$/);
  });

  test("logs --follow: Ctrl-C ends it with 130, a reader that goes away with 0", async () => {
    await client.tasks.submit("resize-task", { run: "on" }, { id: "f2" });
    const words = ["tasks", "logs", "resize", "f2", "--follow"];
    const interrupted = await run(words, { onOutput: (_text, child) => child.kill("SIGINT") });
    expect(interrupted).toMatchObject({ code: 130, err: "" });
    const { code } = await run(words, {
      onOutput: (_text, child) => {
        child.stdout?.destroy();
        view.tasks.log("resize-task", "f2", "nobody reads this");
      },
    });
    expect(code).toBe(0);
  });
});
