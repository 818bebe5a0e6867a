import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll } from "vitest";
import { bundle } from "../../lib/bundle/bundle.ts";
import { type Deployment, LocalHost } from "../../lib/clouds/local/host/host.ts";
import { support } from "../../lib/clouds/local/support.ts";
import { evaluate } from "../../lib/program/evaluate.ts";
import type { Envelope } from "../../lib/runtime/tasks/envelope.ts";
import { testTasks } from "./tasks-conformance.ts";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const ENTRY = fileURLToPath(new URL("../../lib/clouds/local/runtime/entry.ts", import.meta.url));

let workspace: string;
let deployment: Deployment;

/** One evaluation and one bundling for all tests; each has a host and a journal of its own. */
beforeAll(async () => {
  workspace = await mkdtemp(join(tmpdir(), "millrace-tasks-"));
  const { plan } = await evaluate({ folder: HERE, program: "program.ts" });
  const outdir = join(workspace, "bundles");
  const functions = plan.parts.filter((part) => part.kind === "function");
  const files = await Promise.all(
    functions.map(async ({ name, handler, code, settings, install }) => {
      const { file } = await bundle({ handler, code, settings, install, entry: ENTRY, outdir, target: "node24" });
      return [name, file] as const;
    }),
  );
  deployment = { plan, bundles: Object.fromEntries(files) };
});

afterAll(() => rm(workspace, { recursive: true, force: true }));

testTasks("the local cloud", async () => {
  const folder = await mkdtemp(join(workspace, "host-"));
  const host = new LocalHost({ folder, limits: support.limits, concurrency: 8 });
  await host.deploy(deployment);
  return {
    client: host.tasks,
    envelopes: async (queue) =>
      host.queues.peek(`tasks-${queue}`, 1000).map(({ body }) => JSON.parse(body) as Envelope),
    close: () => host.close(),
  };
});
