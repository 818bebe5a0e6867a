import { expect, test } from "vitest";
import { systemClock } from "../../lib/runtime/clock.ts";
import { DeployedFunction } from "../../lib/runtime/deployed.ts";
import { MillraceError } from "../../lib/runtime/errors.ts";
import type { FunctionInvoked } from "../../lib/runtime/events.ts";
import type { Context } from "../../lib/runtime/handler.ts";
import type { StepCall } from "../../lib/runtime/workflows/step-call.ts";

const call: StepCall = {
  millrace: "step",
  run: "r-1",
  step: "encode",
  attempt: 1,
  attempts: 3,
  input: { n: 1 },
};

type Handle = (event: FunctionInvoked, context: Context) => unknown;

function deployed(handle: Handle): DeployedFunction<never> {
  const handler = async (event: FunctionInvoked, context: Context) => handle(event, context);
  const lines: string[] = [];
  return new DeployedFunction({
    deployment: { handler: handler as never, code: {}, settings: {}, ports: {} },
    environment: { place: {}, logLevel: "info", tools: {}, sources: {}, links: {} },
    world: (world) => world as never,
    clock: systemClock,
    write: (line) => void lines.push(line),
  });
}

const platformCall = () => ({ id: "platform", deadline: systemClock.now() + 60_000 });

test("a step is a call with the step's input, by an id that is the same at every attempt", async () => {
  const seen: unknown[] = [];
  const subject = deployed((event, { run }) => {
    seen.push([event.type, event.id, event.payload, run.id, run.attempt]);
    return { twice: 2 };
  });
  expect(await subject.step(call, platformCall())).toEqual({ status: "succeeded", output: { twice: 2 } });
  await subject.step({ ...call, attempt: 2 }, platformCall());
  expect(seen).toEqual([
    ["function.invoked", "r-1/encode", { n: 1 }, "r-1/encode", 1],
    ["function.invoked", "r-1/encode", { n: 1 }, "r-1/encode", 2],
  ]);
});

test("what a retry can help is thrown before the last attempt, and answered at it", async () => {
  const subject = deployed(() => {
    throw new MillraceError("unavailable", "the other side sleeps");
  });
  await expect(subject.step(call, platformCall())).rejects.toMatchObject({ kind: "unavailable" });
  expect(await subject.step({ ...call, attempt: 3 }, platformCall())).toEqual({
    status: "failed",
    error: { kind: "unavailable", message: "the other side sleeps" },
  });
});

test("what no retry can help is answered at the first attempt", async () => {
  const subject = deployed(() => {
    throw new MillraceError("bad-input", "n is odd");
  });
  expect(await subject.step(call, platformCall())).toEqual({
    status: "failed",
    error: { kind: "bad-input", message: "n is odd" },
  });
});

test("an output that the workflow cannot carry is refused in words", async () => {
  const subject = deployed(() => ({ text: "x".repeat(100) }));
  expect(await subject.step({ ...call, most: 64 }, platformCall())).toMatchObject({
    status: "failed",
    error: { kind: "refused", message: expect.stringContaining("at most 64") },
  });
});

test("a handler without a result answers null", async () => {
  expect(await deployed(() => {}).step(call, platformCall())).toEqual({ status: "succeeded", output: null });
});
