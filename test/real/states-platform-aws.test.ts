import { StartExecutionCommand } from "@aws-sdk/client-sfn";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { stateMachine } from "../../lib/clouds/aws/deploy/state-machine.ts";
import { executionName, StatesPlatform } from "../../lib/clouds/aws/runtime/states-platform.ts";
import { systemClock } from "../../lib/runtime/clock.ts";
import type { Log } from "../../lib/runtime/handler.ts";
import { attemptId } from "../../lib/runtime/tasks/ids.ts";
import type { AttemptStart, AttemptState } from "../../lib/runtime/tasks/platform.ts";
import { Workshop } from "./aws/workshop.ts";
import { type MotoServer, startMoto } from "./servers/moto.ts";

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

let moto: MotoServer;
let workshop: Workshop;
let machine: string;
let platform: StatesPlatform;
let answer: (payload: unknown) => Promise<unknown>;
beforeAll(async () => {
  moto = await startMoto();
  workshop = await Workshop.open(moto, "platform");
  workshop.functions.set("worker", (payload) => answer(payload));
  workshop.functions.set("keeper", async () => undefined);
  machine = await workshop.machine(
    "platform",
    stateMachine({ platform: "lambda", worker: "worker", keeper: "keeper", timeout: 60, grace: 5 }),
  );
  const place = { region: moto.region, statesEndpoint: moto.url };
  const address = { kind: "task", part: "work", machine, ...place } as const;
  const credentials = async () => moto.credentials;
  const { signal } = new AbortController();
  platform = new StatesPlatform(address, { signal, clock: systemClock, log: silent, files: "/nowhere", credentials });
});
afterAll(async () => {
  await workshop?.close();
  await moto?.stop();
});

const start = (id: string, more: Partial<AttemptStart> = {}): AttemptStart => ({
  task: "work",
  id,
  attempt: 1,
  attemptId: attemptId({ id, attempt: 1 }),
  payload: { text: "中🎬" },
  deadline: 1_800_000_000_000,
  ...more,
});

const callsOf = (id: string) => workshop.calls.filter(({ payload }) => (payload as AttemptStart).id === id);

async function ended(attempt: AttemptStart): Promise<AttemptState> {
  for (;;) {
    const state = await platform.inspect(attempt);
    if (state !== "running") return state;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe("attempts as executions", () => {
  test("one that is started twice runs once", async () => {
    answer = async () => ({ result: { ok: true } });
    const attempt = start("twice");
    await Promise.all([platform.start(attempt), platform.start(attempt)]);
    expect(await ended(attempt)).toEqual({ result: { ok: true } });
    await platform.start(attempt);
    expect(callsOf("twice")).toHaveLength(1);
  });

  test("a name that is known from a run which the table has forgotten is no start of this one", async () => {
    answer = async () => ({ result: "old" });
    const old = start("forgotten");
    await platform.start(old);
    await ended(old);
    const made = platform.start(start("forgotten", { deadline: old.deadline + 1 }));
    await expect(made).rejects.toMatchObject({ kind: "unavailable" });
  });

  test("ids that no execution can be named by get names of their own", async () => {
    answer = async () => ({ result: null });
    const ids = ["a b", "a_b", "中", "文", "x".repeat(200), "A", "a", '<"{?*#%\\^|~`$&,;:/'];
    const names = ids.map((id) => executionName(start(id)));
    expect(new Set(names).size).toBe(ids.length);
    for (const id of ids) {
      const attempt = start(id);
      await platform.start(attempt);
      expect(await ended(attempt)).toEqual({ result: null });
      expect(callsOf(id)).toMatchObject([
        { payload: { millrace: "attempt", id, payload: { value: attempt.payload } } },
      ]);
    }
  });

  test("a payload that lies in the claims bucket is referred to", async () => {
    answer = async () => ({ result: null });
    const payloadReference = { bucket: "claims", key: "k", size: 9, preview: "first bytes" };
    const attempt = start("large", { payload: "x".repeat(2 ** 20), payloadReference });
    await platform.start(attempt);
    await ended(attempt);
    const reference = { ...payloadReference, preview: "" };
    expect(callsOf("large")).toMatchObject([{ payload: { payload: { reference } } }]);
  });

  test("how an attempt ended is said in the words of every cloud", async () => {
    answer = async () => ({ error: { kind: "bad-input", message: "no picture" } });
    const failed = start("failed");
    await platform.start(failed);
    expect(await ended(failed)).toEqual({ error: { kind: "bad-input", message: "no picture" } });
    answer = async () => ({});
    const large = start("too large to answer");
    await platform.start(large);
    expect(await ended(large)).toBe("gone");
    answer = async () => {
      throw Object.assign(new Error("RequestId: r Error: Task timed out"), { name: "Sandbox.Timedout" });
    };
    const late = start("late");
    await platform.start(late);
    expect(await ended(late)).toMatchObject({ error: { kind: "timed-out" } });
    expect(await platform.inspect(start("nobody"))).toBe("gone");
  });

  test("a stop with a grace is the worker's to see; one without ends the execution; a late one is no error", async () => {
    // It waits: of what waits for a token, this service says it failed when it is stopped.
    const attempt = start("stopped");
    const input = JSON.stringify({ millrace: "wake", seconds: 600 });
    const name = executionName(attempt);
    await workshop.sfn.send(new StartExecutionCommand({ stateMachineArn: machine, name, input }));
    await platform.stop(attempt, 5);
    expect(await platform.inspect(attempt)).toBe("running");
    await platform.stop(attempt, 0);
    expect(await ended(attempt)).toMatchObject({ error: { kind: "stopped" } });
    await platform.stop(attempt, 0);
    await platform.stop(start("nobody"), 0);
  });

  test("a service that does not answer is unavailable", async () => {
    const address = { kind: "task", part: "work", machine: "arn:aws:states:r:1:stateMachine:m", region: "r" } as const;
    const gone = new StatesPlatform(
      { ...address, statesEndpoint: "http://127.0.0.1:1" },
      {
        ...{ signal: new AbortController().signal, clock: systemClock, log: silent, files: "/nowhere" },
        credentials: async () => moto.credentials,
      },
    );
    await expect(gone.start(start("a"))).rejects.toMatchObject({ kind: "unavailable" });
    await expect(gone.inspect(start("a"))).rejects.toMatchObject({ kind: "unavailable" });
  });
});
