import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { stateMachine } from "../../lib/clouds/aws/deploy/state-machine.ts";
import { toFinished } from "../../lib/handlers/tasks/keep.ts";
import { MillraceError } from "../../lib/runtime/errors.ts";
import { Workshop } from "./aws/workshop.ts";
import { type MotoServer, startMoto } from "./servers/moto.ts";

let moto: MotoServer;
beforeAll(async () => {
  moto = await startMoto();
});
afterAll(() => moto?.stop());

let workshop: Workshop;
let made = 0;
beforeEach(async () => {
  made += 1;
  workshop = await Workshop.open(moto, `machine-${made}`);
  workshop.functions.set("keeper", async () => undefined);
});
afterEach(() => workshop.close());

const attempt = {
  millrace: "attempt",
  task: "work",
  id: 'a "中" $.x',
  attempt: 2,
  attemptId: 'a "中" $.x--a2',
  deadline: 1,
  payload: { value: { text: "é\u2028\\" } },
};

const told = () => workshop.calls.filter(({ name }) => name === "keeper").map(({ payload }) => payload);

describe("a task's state machine on Lambda, executed", () => {
  const machine = () =>
    workshop.machine(
      `lambda-${made}`,
      stateMachine({ platform: "lambda", worker: "worker", keeper: "keeper", timeout: 60, grace: 5 }),
    );

  test("the worker gets the attempt, and its answer is the execution's", async () => {
    workshop.functions.set("worker", async () => ({ result: { error: { kind: "of the user" } } }));
    const { status, output } = await workshop.execute(await machine(), attempt);
    expect(status).toBe("SUCCEEDED");
    expect(JSON.parse(output!)).toEqual({ result: { error: { kind: "of the user" } } });
    expect(workshop.calls).toEqual([{ name: "worker", payload: attempt }]);
  });

  test("an attempt that answers a failure is a failed execution, and nobody need be told", async () => {
    workshop.functions.set("worker", async () => ({ error: { kind: "refused", message: "not allowed" } }));
    const { status, error, cause } = await workshop.execute(await machine(), attempt);
    expect({ status, error, cause }).toEqual({ status: "FAILED", error: "refused", cause: "not allowed" });
    expect(told()).toEqual([]);
  });

  test("the keeper is told of an attempt that was ended", async () => {
    workshop.functions.set("worker", async () => {
      throw Object.assign(new Error("r Error: Task timed out after 60.00 seconds"), { name: "Sandbox.Timedout" });
    });
    const { status, error, cause } = await workshop.execute(await machine(), attempt);
    expect({ status, error, cause }).toEqual({ status: "FAILED", error: "Millrace.Broken", cause: "Sandbox.Timedout" });
    expect(told().map(toFinished)).toMatchObject([
      { attempt: { task: "work", id: attempt.id, attempt: 2 }, outcome: { error: { kind: "timed-out" } } },
    ]);
  });

  test("a call that Lambda does not take is made again; a keeper that fails is called again", async () => {
    const throttled = [1, 2];
    workshop.functions.set("worker", async () => {
      if (throttled.pop()) throw Object.assign(new Error("Rate"), { name: "Lambda.TooManyRequestsException" });
      throw new MillraceError("failed", "broken");
    });
    const failing = [1];
    workshop.functions.set("keeper", async () => {
      if (failing.pop()) throw new Error("no table");
    });
    const { status, error } = await workshop.execute(await machine(), attempt);
    expect({ status, error }).toEqual({ status: "FAILED", error: "Millrace.Broken" });
    expect(throttled).toEqual([]);
    expect(failing).toEqual([]);
    expect(told().length).toBeGreaterThan(1);
  });

  test("a wake waits, and calls the keeper as its schedule does", async () => {
    const begun = Date.now();
    const { status } = await workshop.execute(await machine(), { millrace: "wake", seconds: 1 });
    expect(status).toBe("SUCCEEDED");
    expect(Date.now() - begun).toBeGreaterThanOrEqual(1000);
    expect(told()).toEqual([{ millrace: "schedule", schedule: "wake", time: expect.stringMatching(/^\d{4}-.*T/) }]);
  });
});

describe("a task's state machine on Fargate, executed", () => {
  const machine = () =>
    workshop.machine(
      `fargate-${made}`,
      stateMachine({
        ...{ platform: "fargate", keeper: "keeper", timeout: 3600, grace: 30, heartbeat: 2 },
        ...{ cluster: "c", taskDefinition: "t", container: "work", subnets: ["s"], securityGroups: ["g"] },
      }),
    );

  test("the container gets the attempt; the keeper is told of one that is not heard of", async () => {
    const started: Readonly<Record<string, string>>[] = [];
    workshop.containers.set("work", (variables) => void started.push(variables));
    const { status, error } = await workshop.execute(await machine(), attempt);
    const [{ MILLRACE_ATTEMPT = "", ...others } = {}] = started;
    expect(JSON.parse(Buffer.from(MILLRACE_ATTEMPT, "base64").toString())).toEqual(attempt);
    expect(others).toEqual({ MILLRACE_TASK_TOKEN: expect.stringMatching(/.+/), MILLRACE_HEARTBEAT: "2" });
    expect({ status, error }).toEqual({ status: "FAILED", error: "Millrace.Broken" });
    expect(told().map(toFinished)).toMatchObject([
      { attempt: { task: "work", id: attempt.id, attempt: 2 }, outcome: { error: { kind: "timed-out" } } },
    ]);
  });
});
