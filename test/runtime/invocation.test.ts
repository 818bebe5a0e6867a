import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Context } from "../../lib/runtime/handler.ts";
import { type InvocationOptions, invocation } from "../../lib/runtime/invocation.ts";
import type { Definition } from "../../lib/runtime/serve.ts";

const event = { type: "function.invoked", id: "e", payload: 1, time: "2026-01-01T00:00:00.000Z" } as const;

async function run(
  handler: (event: unknown, context: Context) => Promise<unknown>,
  options: Partial<InvocationOptions> = {},
) {
  const lines: string[] = [];
  const served = await invocation({ handler, code: {}, settings: {} } as unknown as Definition, [event], {
    run: { id: "run-1", task: "t", attempt: 2, deadline: Date.now() + 60_000, progress: () => {} },
    connect: async () => ({}),
    tools: {},
    write: (line) => void lines.push(line),
    ...options,
  });
  return { ...served, log: lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

describe("an invocation", () => {
  it("has a folder of its own, which goes with it however it ends", async () => {
    let scratch = "";
    const { failures } = await run(async (_, context) => {
      scratch = context.scratch;
      await writeFile(join(scratch, "file"), "content");
      throw new Error("broken");
    });
    expect(failures).toMatchObject([{ error: { kind: "failed", message: "broken" } }]);
    expect(scratch).not.toBe("");
    expect(existsSync(scratch)).toBe(false);
  });

  it("is asked to end before the platform ends it, or when its caller says so", async () => {
    const wait = (_: unknown, { signal }: Context) =>
      new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
    const soon = { id: "r", attempt: 1, deadline: Date.now() + 1050, progress: () => {} };
    expect((await run(wait, { run: soon, margin: 1000 })).failures).toMatchObject([{ error: { kind: "timed-out" } }]);
    const stop = new AbortController();
    const stopped = run(wait, { signal: stop.signal });
    stop.abort(new Error("that is enough"));
    expect((await stopped).failures).toMatchObject([{ error: { message: "that is enough" } }]);
  });

  it("logs JSON that names the run; numbers too; not what is below the level", async () => {
    const circle: Record<string, unknown> = {};
    circle.self = circle;
    const { log } = await run(async (_, { log, metrics }) => {
      log.debug("unseen");
      log.info("seen", { error: new TypeError("bad"), big: 1n });
      log.warn("round", circle);
      log.error("x".repeat(20_000));
      metrics.count("files");
      metrics.gauge("seconds", 1.5);
    });
    const about = { time: expect.any(String), run: "run-1", task: "t", attempt: 2 };
    expect(log).toEqual([
      {
        ...about,
        level: "info",
        message: "seen",
        fields: { error: expect.objectContaining({ message: "bad" }), big: "1" },
      },
      { ...about, level: "warn", message: "round", fields: expect.stringContaining("Circular") },
      { ...about, level: "error", message: expect.stringMatching(/^x{16384}… \(20000 characters\)$/) },
      { ...about, metric: "files", kind: "count", value: 1 },
      { ...about, metric: "seconds", kind: "gauge", value: 1.5 },
    ]);
  });
});
