import pico from "picocolors";
import { expect, test } from "vitest";
import { DevView } from "../../../lib/cli/render/dev.ts";
import type { Terminal } from "../../../lib/cli/terminal.ts";
import type { WorkflowRun, WorkflowStatus } from "../../../lib/runtime/workflows/run.ts";

test("a run of a workflow has a line when it begins and one when it is over, however often its steps change", () => {
  const lines: string[] = [];
  const terminal = {
    print: (line: string) => void lines.push(line),
    colors: pico.createColors(false),
    isLive: false,
    live: () => ({ show() {}, clear() {} }),
  } as unknown as Terminal;
  const view = new DevView(terminal, { isJson: false });
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
