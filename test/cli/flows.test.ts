import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { isOver, type WorkflowHistory, type WorkflowRun } from "../../lib/runtime/workflows/run.ts";
import { PLAN } from "../clouds/local/view.ts";
import { cloudFolder } from "./cloud.ts";

const { folder, view, client, run, json } = cloudFolder();

const ended = (id: string) =>
  expect.poll(async () => isOver((await client.workflows.get("orders", id))!.run.status), { timeout: 5000 }).toBe(true);

const waiting = (id: string) =>
  expect
    .poll(async () => (await client.workflows.get("orders", id))?.steps.some(({ status }) => status === "waiting"))
    .toBe(true);

describe("flows", () => {
  test("start: by the construct's name; the same id is the same run", async () => {
    const started = await json<WorkflowRun>("flows", "start", "orders", '{"items":[{"a":"猫"}]}', "--id", "s1");
    expect(started).toMatchObject({ workflow: "orders-flow", id: "s1", inputPreview: '{"items":[{"a":"猫"}]}' });
    const again = await run(["flows", "start", "orders-flow", '{"items":[]}', "--id", "s1"]);
    expect(again).toMatchObject({ code: 0, err: expect.stringContaining("has this id already") });
    expect(await json("flows", "start", "orders", '{"items":[]}')).toMatchObject({
      id: expect.stringMatching(/^[a-z0-9-]+$/),
    });
  });

  test("start: from a file, and from standard input; what is no JSON is no command", async () => {
    writeFileSync(join(folder, "order.json"), '{ "items": [], "from": "file" }');
    await run(["flows", "start", "orders", "@order.json", "--id", "f1"]);
    await run(["flows", "start", "orders", "-", "--id", "f2"], { input: '{ "items": [], "from": "input" }' });
    expect((await client.workflows.get("orders", "f1"))?.input).toEqual({ items: [], from: "file" });
    expect((await client.workflows.get("orders", "f2"))?.input).toEqual({ items: [], from: "input" });
    expect(await run(["flows", "start", "orders", "{items"])).toMatchObject({ code: 2, out: "" });
    expect(await run(["flows", "start", "orders", "{}", "--id", "a/b"])).toMatchObject({
      code: 1,
      err: expect.stringContaining("a run's id has letters"),
    });
  });

  test("start --wait: the exit code tells", async () => {
    const good = await run(["flows", "start", "orders", '{"items":[]}', "--id", "w1", "--wait"]);
    expect(good).toMatchObject({ code: 0, err: "" });
    expect(good.out).toMatch(/^orders-flow w1 succeeded in \d.*\n {2}\{\n {4}"packed": \[\]\n {2}\}\n$/);
    const bad = await run([
      "flows",
      "start",
      "orders",
      '{"items":[{"fail":"no\\u001b[31m box"}]}',
      "--id",
      "w2",
      "--wait",
    ]);
    expect(bad.code).toBe(1);
    expect(bad.out).toMatch(/^orders-flow w2 failed.*: no box$/m);
  });

  test("list: newest first, by what is asked", async () => {
    for (const id of ["l1", "l2", "l3"]) await client.workflows.start("orders", { items: [] }, { id });
    const ids = async (...words: string[]) =>
      (await json<WorkflowRun[]>("flows", "list", "orders", ...words)).map(({ id }) => id);
    await ended("l3");
    expect((await ids("--prefix", "l")).slice(0, 3)).toEqual(["l3", "l2", "l1"]);
    expect(await ids("--prefix", "l2")).toEqual(["l2"]);
    expect(await ids("--prefix", "l", "--status", "failed,stopped")).toEqual([]);
    expect(await ids("--since", "1h", "--before", "2999-01-01", "--prefix", "l")).toHaveLength(3);
    expect(await ids("--after", "2999-01-01")).toEqual([]);
    const cut = await run(["flows", "list", "orders", "--limit", "2"]);
    expect(cut.err).toContain("more than 2");
    expect(cut.out.trim().split("\n")).toHaveLength(3);
    expect(await run(["flows", "list", "orders", "--since", "1h", "--after", "2026-01-01"])).toMatchObject({ code: 2 });
  });

  test("get: steps inside one another, maps as counts and what is not well in them", async () => {
    await client.workflows.start(
      "orders",
      { items: [{ number: 0 }, { fail: "no room" }, { number: 2 }] },
      { id: "g1" },
    );
    await ended("g1");
    const { code, out } = await run(["flows", "get", "orders", "g1"]);
    expect(code).toBe(0);
    expect(out).toMatch(/^orders-flow g1\n {2}status {3}failed\n {2}error {4}bad-input: no room\n/);
    expect(out).toMatch(/^ {2}each {6}failed {2}3\/3 {2}1 failed/m);
    expect(out).toMatch(/^ {4}\[1\]\n {6}pack {2}failed.* bad-input: no room$/m);
    expect(out).not.toContain("[0]");
    const history = await json<WorkflowHistory>("flows", "get", "orders", "g1");
    expect(history.steps.map(({ path, status }) => [path, status])).toContainEqual(["each[0]/pack", "succeeded"]);
    expect(await run(["flows", "get", "orders", "nobody"])).toMatchObject({
      code: 1,
      err: 'millrace: orders-flow has no run "nobody"\n',
    });
  });

  test("answer: what somebody waits for, and what nobody does", async () => {
    await client.workflows.start("orders", { items: [{ number: 1 }], ask: true }, { id: "a1" });
    await waiting("a1");
    const { out } = await run(["flows", "get", "orders", "a1"]);
    const [, callback = ""] = /millrace flows answer (\S+)/.exec(out) ?? [];
    expect(await run(["flows", "answer", callback, '{"ok":true}'])).toEqual({
      code: 0,
      out: `${callback} is answered\n`,
      err: "",
    });
    await ended("a1");
    expect((await client.workflows.get("orders", "a1"))?.run.status).toBe("succeeded");

    await client.workflows.start("orders", { items: [], ask: true }, { id: "a2" });
    await waiting("a2");
    await run(["flows", "answer", "orders-flow/a2/approval/approve", "--error", "not today", "--kind", "refused"]);
    await ended("a2");
    expect((await client.workflows.get("orders", "a2"))?.run).toMatchObject({
      status: "failed",
      error: { kind: "refused", message: "not today" },
    });
    expect(await run(["flows", "answer", "orders-flow/nobody/approval/approve"])).toMatchObject({
      code: 1,
      err: expect.stringContaining("no step waits"),
    });
    expect(await run(["flows", "answer", callback, "1", "--error", "x"])).toMatchObject({ code: 2 });
    expect(await run(["flows", "answer", callback, "--error", "x", "--kind", "odd"])).toMatchObject({ code: 2 });
  });

  test("stop and retry: a run that waits is stopped, goes on, and is not retried while it does", async () => {
    await client.workflows.start("orders", { items: [], ask: true }, { id: "r1" });
    await waiting("r1");
    expect(await json("flows", "stop", "orders", "r1")).toMatchObject([{ id: "r1", status: "stopping" }]);
    await ended("r1");
    expect((await client.workflows.get("orders", "r1"))?.run).toMatchObject({ status: "stopped" });
    expect(await run(["flows", "retry", "orders", "r1"])).toMatchObject({ code: 0, out: "orders-flow r1 running\n" });
    await waiting("r1");
    const twice = await run(["flows", "retry", "orders", "r1"]);
    expect(twice).toMatchObject({ code: 1, err: expect.stringContaining("only failed and stopped runs are retried") });
    await run(["flows", "answer", "orders-flow/r1/approval/approve"]);
    await ended("r1");
    expect((await client.workflows.get("orders", "r1"))?.run).toMatchObject({ status: "succeeded" });
  });

  test("retry: once what made it fail is gone", async () => {
    const { step } = view;
    await client.workflows.start("orders", { items: [{ number: 0 }, { fail: "closed" }] }, { id: "r2" });
    await ended("r2");
    view.step = () => ({ mended: true });
    await run(["flows", "retry", "orders", "r2"]);
    await ended("r2");
    view.step = step;
    expect((await client.workflows.get("orders", "r2"))?.output).toEqual({ packed: [{ number: 0 }, { mended: true }] });
  });

  test("graph: the definition as a tree, and with a run's states", async () => {
    const { out } = await run(["flows", "graph", "orders"]);
    expect(out).toBe(
      [
        "orders-flow",
        "├─ each                     for each of input.items",
        "│  └─ pack                  calls orders-work, 2 attempts",
        "└─ approval                 the first that holds",
        "   └─ if input.ask is true",
        "      └─ approve            asks orders-work",
        "",
      ].join("\n"),
    );
    await client.workflows.start("orders", { items: [{}, {}, { fail: "x" }] }, { id: "d1" });
    await ended("d1");
    const followed = await run(["flows", "graph", "orders", "--run", "d1", "--follow"]);
    expect(followed.code).toBe(1);
    expect(followed.out).toMatch(/pack .* 2 succeeded, 1 failed$/m);
    expect(followed.out).toMatch(/^orders-flow d1 failed in .*: x$/m);
    expect(await run(["flows", "graph", "orders", "--follow"])).toMatchObject({ code: 2 });
    expect(await json("flows", "graph", "orders")).toEqual({
      workflow: "orders-flow",
      definition: PLAN.parts.find(({ kind }) => kind === "workflow")!["definition" as never],
    });
  });

  test("graph --mermaid: steps, blocks and where it goes on", async () => {
    const { out } = await run(["flows", "graph", "orders", "--mermaid", "--run", "d1"]);
    expect(out.split("\n")).toEqual(
      expect.arrayContaining([
        "flowchart TD",
        '  subgraph s0["each<br>for each of input.items"]',
        '    s1["pack<br>calls orders-work, 2 attempts"]',
        '  s2 -->|"input.ask is true"| s3',
        '  s2 -->|"otherwise"| done',
        "  s3 --> done",
        "  class s1 failed",
      ]),
    );
  });

  test("a name that is none: the answer has those there are", async () => {
    expect(await run(["flows", "list", "video"])).toMatchObject({
      code: 1,
      err: 'millrace: there is no workflow "video"; there are orders-flow\n',
    });
  });

  test("completion knows the workflows", async () => {
    const { out } = await run(["complete", "--", "flows", "start", ""]);
    expect(out).toContain("orders-flow");
  });

  test("a deployed cloud that has no workflows says so", async () => {
    const plan = { ...PLAN, clouds: [{ name: "local", kind: "aws", region: "eu-central-1" }] };
    writeFileSync(join(folder, "stack.json"), JSON.stringify({ millrace: { plan, addresses: {} } }));
    const { code, err } = await run(["flows", "list", "orders", "--stack", "stack.json"]);
    expect(code).toBe(1);
    expect(err).not.toBe("");
  });
});
