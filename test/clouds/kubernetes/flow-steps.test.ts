import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { encoded } from "../../../lib/clouds/kubernetes/deploy/flow-expressions.ts";
import { type ArgoNode, nodesOf } from "../../../lib/clouds/kubernetes/runtime/argo.ts";
import { handler as perform } from "../../../lib/clouds/kubernetes/runtime/flow-perform.ts";
import { recordsOf } from "../../../lib/clouds/kubernetes/runtime/flow-steps.ts";
import type { Task, TaskStatus } from "../../../lib/runtime/tasks/task.ts";
import status from "./argo-status.json" with { type: "json" };
import { STATUS_TEMPLATES } from "./argo-templates.ts";

const nodes = Object.values(status.nodes) as unknown as readonly ArgoNode[];

describe("what Argo's controller says of a run", () => {
  it("is told step by step, as everywhere", () => {
    const records = recordsOf(nodes, STATUS_TEMPLATES, { id: "Run_1", status: "failed" });
    expect(records.map(({ path, step, status, attempts }) => [path, step, status, attempts])).toEqual([
      ["split_it", "split_it", "succeeded", 1],
      ["each", "each", "succeeded", 1],
      ["each[0]/twice", "twice", "succeeded", 1],
      ["each[1]/twice", "twice", "succeeded", 1],
      ["each[2]/twice", "twice", "succeeded", 1],
      ["both", "both", "succeeded", 1],
      ["both/rest", "rest", "succeeded", 1],
      ["both/tries", "tries", "succeeded", 2],
      ["broken", "broken", "caught", 1],
      ["broken/noted", "noted", "succeeded", 1],
      ["asked", "asked", "succeeded", 1],
      ["gate", "gate", "failed", 1],
    ]);
    const of = (path: string) => records.find((record) => record.path === path)!;
    expect(of("each").items).toEqual({ total: 3, succeeded: 3, failed: 0 });
    expect(of("gate").error).toEqual({ kind: "refused", message: "closed" });
    expect(of("each[1]/twice").outputPreview).toBe('{"value":4}');
    expect(Date.parse(of("both/tries").ended!)).toBeGreaterThan(Date.parse(of("both/tries").started));
  });

  it("is packed where it is much, and missing where a database has it", () => {
    const compressedNodes = gzipSync(JSON.stringify(status.nodes)).toString("base64");
    expect(nodesOf({ metadata: { name: "run" }, status: { compressedNodes } })).toEqual(nodes);
    expect(nodesOf({ metadata: { name: "run" }, status: {} })).toEqual([]);
  });

  it("of what is under way says whether it waits, is tried again, or was stopped", () => {
    const node = (more: Partial<ArgoNode>): ArgoNode => ({
      ...{ id: "1", displayName: "gate", type: "Pod", templateName: "gate", startedAt: "2026-01-01T00:00:00Z" },
      inputs: { parameters: [{ name: "at", value: "" }] },
      ...more,
    });
    const statusOf = (run: "running" | "stopped" | "failed", ...all: readonly ArgoNode[]) =>
      recordsOf(all, STATUS_TEMPLATES, { id: "r", status: run }).map(({ status, error }) => [status, error?.kind]);
    const running = { phase: "Running" } as const;
    expect(statusOf("running", node(running))).toEqual([["running", undefined]]);
    expect(statusOf("running", node({ ...running, templateName: "asked" }))).toEqual([["waiting", undefined]]);
    const again = [node({ ...running, type: "Retry" }), node({ id: "2", phase: "Failed" })];
    expect(statusOf("running", ...again)).toEqual([["retrying", undefined]]);
    expect(statusOf("running", node({ phase: "Error", message: "evicted" }))).toEqual([["failed", "unavailable"]]);
    expect(statusOf("stopped", node(running))).toEqual([["stopped", undefined]]);
    const failed = encoded({ status: "failed", error: { kind: "nonsense", message: 1 } });
    const outputs = { parameters: [{ name: "answer", value: failed }] };
    expect(statusOf("failed", node({ phase: "Succeeded", outputs }))).toEqual([["failed", "failed"]]);
    expect(statusOf("running", node({ phase: "Skipped" }))).toEqual([]);
  });
});

describe("the pod of a task's step", () => {
  /** A task whose runs come to these ends, one after the other. */
  const taskOf = (known: TaskStatus | undefined, ...ends: readonly TaskStatus[]) => {
    const calls: string[] = [];
    const left = [...ends];
    let status = known;
    const run = (): Task => ({ id: "t1", status, error: { kind: "failed", message: "as told" } }) as unknown as Task;
    const begin = (call: string) => async () => {
      calls.push(call);
      status = left.shift()!;
      return run();
    };
    const task = {
      get: async () => (status === undefined ? undefined : run()),
      ...{ submit: begin("submit"), retry: begin("retry") },
      audit: async () => ({ result: { made: true } }),
    };
    return { task, calls };
  };
  const performed = (task: object, turns: number) => {
    let kept = turns;
    const keepTurns = async (_: string, now: number) => {
      kept = now;
    };
    const links = { task, turns: { turns: async () => kept, keepTurns } };
    const event = { type: "function.invoked", id: "r/made", payload: { id: "t1", input: {} }, time: "" };
    const answer = perform(event as never, { links, signal: new AbortController().signal } as never);
    return answer.then(
      (result) => ({ result, kept }),
      (error: Error & { kind: string }) => ({ error: error.kind, kept }),
    );
  };

  it("submits a run that is not known, and answers its result", async () => {
    const { task, calls } = taskOf(undefined, "succeeded");
    expect(await performed(task, 0)).toEqual({ result: { made: true }, kept: 1 });
    expect(calls).toEqual(["submit"]);
  });

  it("waits for one that is known, and tries it again only where it has waited for its end before", async () => {
    const known = taskOf("failed");
    expect(await performed(known.task, 0)).toEqual({ error: "failed", kept: 1 });
    expect(known.calls).toEqual([]);
    const again = taskOf("failed", "succeeded");
    expect(await performed(again.task, 1)).toEqual({ result: { made: true }, kept: 2 });
    expect(again.calls).toEqual(["retry"]);
    const done = taskOf("succeeded");
    expect(await performed(done.task, 3)).toEqual({ result: { made: true }, kept: 4 });
    expect(done.calls).toEqual([]);
  });
});
