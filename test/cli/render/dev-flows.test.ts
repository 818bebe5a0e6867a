import pico from "picocolors";
import { expect, test } from "vitest";
import { DevView } from "../../../lib/cli/render/dev.ts";
import { renderAtWork, renderEnd } from "../../../lib/cli/render/flow.ts";
import type { Terminal } from "../../../lib/cli/terminal.ts";
import type { StepRecord, WorkflowRun, WorkflowStatus } from "../../../lib/runtime/workflows/run.ts";

function watched() {
  const lines: string[] = [];
  const terminal = {
    print: (line: string) => void lines.push(line),
    colors: pico.createColors(false),
    isLive: false,
    live: () => ({ show() {}, clear() {} }),
  } as unknown as Terminal;
  return { lines, view: new DevView(terminal, { isJson: false }) };
}

test("a run of a workflow has a line when it begins and one when it is over, however often its steps change", () => {
  const { lines, view } = watched();
  const started = "2026-11-21T08:00:00.000Z";
  const tell = (status: WorkflowStatus, change: Partial<WorkflowRun> = {}) =>
    view.tell({
      type: "workflow.changed",
      run: { workflow: "orders-flow", id: "one", status, started, inputPreview: "{}", ...change },
    });
  tell("running");
  tell("running");
  tell("stopping");
  tell("stopped", { ended: "2026-11-21T08:00:12.000Z", error: { kind: "stopped", message: "the run was stopped" } });
  tell("stopped");
  view.end();
  expect(lines).toEqual(["orders-flow one running", "orders-flow one stopped in 12 s: the run was stopped"]);
});

test("of many objects that appear together the first have lines, and the others are counted", () => {
  const { lines, view } = watched();
  const put = (bucket: string, key: string) =>
    view.tell({
      type: "object.created",
      bucket,
      object: { key, etag: "1", size: 1024, modified: "2026-11-21T08:00:00.000Z", metadata: {} },
    });
  for (let number = 1; number <= 5; number += 1) put("words-work", `${number}.json`);
  put("words-output", "manifest.json");
  view.end();
  expect(lines).toEqual([
    "object words-work 1.json 1 KB",
    "object words-work 2.json 1 KB",
    "object words-work 3.json 1 KB",
    "object words-output manifest.json 1 KB",
    "objects words-work 2 more 2 KB",
  ]);
});

test("who waits for a run sees its open steps and what functions say, then how it went and the output", () => {
  const started = "2026-11-21T08:00:00.000Z";
  const run = { workflow: "move-flow", id: "one", status: "running", started, inputPreview: "null" } as const;
  const step = { started, attempts: 1 };
  const steps: readonly StepRecord[] = [
    { ...step, path: "plan", step: "plan", status: "succeeded" },
    { ...step, path: "groups", step: "groups", status: "running", items: { total: 2, succeeded: 1, failed: 0 } },
    {
      ...{ ...step, path: "groups[1]/copy", step: "copy", status: "running" },
      progress: { fraction: 0.5, message: "1 MB of 2 MB, 1 MB/s, 1 s left" },
    },
    { ...step, path: "groups[2]/copy", step: "copy", status: "running" },
  ];
  const now = Date.parse(started) + 9000;
  expect(renderAtWork({ run, input: null, steps }, pico.createColors(false), now).split("\n")).toEqual([
    "move-flow one running",
    "  groups  running  1/2  75 %, about 3 s left",
    "  groups[1]/copy  running  50 %  1 MB of 2 MB, 1 MB/s, 1 s left",
  ]);
  const ended = { ...run, status: "succeeded", ended: "2026-11-21T08:00:02.000Z" } as const;
  expect(renderEnd({ run: ended, input: null, output: { objects: 3 }, steps: [] }, pico.createColors(false))).toBe(
    'move-flow one succeeded in 2 s\n  {\n    "objects": 3\n  }',
  );
});
