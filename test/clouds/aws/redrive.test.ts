import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { RedriveExecutionInput$ } from "@aws-sdk/client-sfn";
import { afterEach, beforeEach, expect, test } from "vitest";
import { port, type StatesFlow } from "../../../lib/clouds/aws/runtime/workflow.ts";
import { systemClock } from "../../../lib/runtime/clock.ts";

const MACHINE = "arn:aws:states:us-east-1:1:stateMachine:flow";
const EXECUTION = "arn:aws:states:us-east-1:1:execution:flow:run-1";
const silent = { debug() {}, info() {}, warn() {}, error() {} };
const KEYS = { accessKeyId: "a", secretAccessKey: "b" };

/** Step Functions on the wire, with one execution that may be gone on with or not. */
let status: "FAILED" | "ABORTED" | "TIMED_OUT" | "SUCCEEDED" | "RUNNING";
let isRedrivable: boolean;
let asked: { readonly target: string; readonly body: Readonly<Record<string, unknown>> }[];
let flow: StatesFlow;
let close: () => void;

beforeEach(async () => {
  [status, isRedrivable, asked] = ["FAILED", true, []];
  const server = createServer(async (request, response) => {
    const body = JSON.parse(Buffer.concat(await request.toArray()).toString("utf8")) as Record<string, unknown>;
    const target = String(request.headers["x-amz-target"]);
    asked.push({ target, body });
    const [code, answer] = answerOf(target.split(".")[1]!);
    response.writeHead(code, { "content-type": "application/x-amz-json-1.0" }).end(JSON.stringify(answer));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  close = () => {
    server.closeAllConnections();
    server.close();
  };
  flow = port(
    { kind: "workflow", part: "w", machine: MACHINE, region: "us-east-1", statesEndpoint: endpoint },
    {
      ...{ signal: new AbortController().signal, clock: systemClock, log: silent, files: "/nowhere" },
      credentials: async () => KEYS,
    },
  );
});
afterEach(() => close());

function answerOf(action: string): readonly [number, object] {
  if (action === "RedriveExecution") {
    if (!isRedrivable) return [400, { __type: "ExecutionNotRedrivable", message: "it began more than 14 days ago" }];
    status = "RUNNING";
    return [200, { redriveDate: 1_790_000_000 }];
  }
  const times = { startDate: 1_780_000_000, ...(status !== "RUNNING" && { stopDate: 1_780_000_100 }) };
  return [200, { executionArn: EXECUTION, stateMachineArn: MACHINE, name: "run-1", status, input: "{}", ...times }];
}

const redrives = () => asked.filter(({ target }) => target === "AWSStepFunctions.RedriveExecution");

test.each(["FAILED", "ABORTED", "TIMED_OUT"] as const)(
  "a run that is %s is redriven, by its execution",
  async (ended) => {
    status = ended;
    expect(await flow.retry("run-1")).toMatchObject({ id: "run-1", status: "running" });
    expect(redrives()).toHaveLength(1);
    const [{ body }] = redrives() as [(typeof asked)[number]];
    expect(body).toMatchObject({ executionArn: EXECUTION });

    // By the model that the service's own client is made from.
    const [, , , , members] = RedriveExecutionInput$;
    expect(Object.keys(body).filter((member) => !members.includes(member))).toEqual([]);
  },
);

test.each(["SUCCEEDED", "RUNNING"] as const)("one that is %s is not", async (now) => {
  status = now;
  await expect(flow.retry("run-1")).rejects.toMatchObject({ kind: "conflict" });
  expect(redrives()).toEqual([]);
});

test("what the service does not go on with any more is told as a conflict, in its words", async () => {
  isRedrivable = false;
  await expect(flow.retry("run-1")).rejects.toMatchObject({
    kind: "conflict",
    message: expect.stringContaining("14 days"),
  });
  expect(redrives()).toHaveLength(1);
});
