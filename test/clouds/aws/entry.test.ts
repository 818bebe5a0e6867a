import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { afterEach, describe, expect, it } from "vitest";
import type { AwsWorld } from "../../../lib/clouds/aws/runtime/account.ts";
import { type LambdaHandler, start } from "../../../lib/clouds/aws/runtime/entry.ts";
import { port } from "../../../lib/clouds/aws/runtime/function.ts";
import { Functions } from "../../../lib/clouds/aws/runtime/functions.ts";
import { systemClock } from "../../../lib/runtime/clock.ts";
import { type ErrorKind, MillraceError } from "../../../lib/runtime/errors.ts";
import type { SourceEvent } from "../../../lib/runtime/events.ts";
import type { Context } from "../../../lib/runtime/handler.ts";
import { writeEnvironment } from "../../../lib/shared/environment.ts";

const silent = { debug() {}, info() {}, warn() {}, error() {} };
const world: AwsWorld = {
  signal: new AbortController().signal,
  clock: systemClock,
  log: silent,
  files: ".",
  credentials: async () => ({ accessKeyId: "id", secretAccessKey: "key" }),
};

const context = (remaining = 10_000) => ({ awsRequestId: "request-1", getRemainingTimeInMillis: () => remaining });

type Work = (event: SourceEvent, context: Context) => Promise<unknown>;

/** A function as Lambda loads it, and what it logs. */
function deployed(handler: Work): { readonly call: LambdaHandler; readonly lines: string[] } {
  const variables = writeEnvironment({
    place: { region: "us-east-1", account: "1" },
    logLevel: "info",
    tools: {},
    sources: { "work-x1": "work" },
    links: {},
  });
  const lines: string[] = [];
  const call = start(
    { handler: handler as never, code: {}, settings: {}, ports: {} },
    { variables, clock: systemClock, write: (line) => void lines.push(line) },
  );
  return { call, lines };
}

const message = (messageId: string, body: string) => ({
  messageId,
  body,
  attributes: { ApproximateReceiveCount: "1", SentTimestamp: "0" },
  messageAttributes: {},
  eventSource: "aws:sqs",
  eventSourceARN: "arn:aws:sqs:us-east-1:1:work-x1",
});

describe("a function", () => {
  it("answers a call with what its handler answers", async () => {
    const { call } = deployed(async (event) => ({ type: event.type, echo: (event as { payload?: unknown }).payload }));
    expect(await call({ a: 1 }, context())).toEqual({ type: "function.invoked", echo: { a: 1 } });
  });

  it("answers a step of a workflow, and throws its failure by the name of its kind", async () => {
    const { call } = deployed(async (event, { run }) => {
      const { id, payload } = event as { readonly id: string; readonly payload: { readonly kind?: ErrorKind } };
      if (payload.kind) throw new MillraceError(payload.kind, "no");
      return { id, payload, attempt: run.attempt };
    });
    const step = { millrace: "step", run: "r1", step: "each[0]/one", attempt: 2, attempts: 2 };
    const known = { input: { a: { b: 1 } } };
    const mapping = JSON.stringify({ b: { $: "input", at: ["a", "b"] }, none: { $: "input", at: ["a", "c", "d"] } });
    expect(await call({ ...step, mapping, known }, context())).toEqual({
      status: "succeeded",
      output: { id: "r1/each[0]/one", payload: { b: 1, none: null }, attempt: 2 },
    });
    for (const kind of ["failed", "bad-input"] as const) {
      for (const attempt of [1, 2]) {
        const thrown = await call({ ...step, attempt, input: { kind } }, context()).catch((error: Error) => error);
        expect(thrown).toMatchObject({ name: kind, message: "no", stack: `${kind}: no` });
      }
    }
    const large = call({ ...step, most: 20, input: { text: "x".repeat(30) } }, context());
    await expect(large).rejects.toMatchObject({ name: "refused" });
  });

  it("names the messages that failed, and says why in its log", async () => {
    const { call, lines } = deployed(async (event) => {
      const { body } = event as { body: string };
      if (body === "bad") throw new MillraceError("not-found", "no such video");
    });
    const Records = [message("1", "good"), message("2", "bad"), message("3", "good")];
    expect(await call({ Records }, context())).toEqual({ batchItemFailures: [{ itemIdentifier: "2" }] });
    expect(await call({ Records: [message("1", "good")] }, context())).toEqual({ batchItemFailures: [] });
    const logged = lines.map((line) => JSON.parse(line) as { level: string; message: string });
    expect(logged).toMatchObject([{ level: "error", message: "message 2 failed", run: "request-1" }]);
    expect(lines[0]).toContain("no such video");
  });

  it("ends before Lambda ends it", async () => {
    const { call } = deployed(
      (_, { signal }) =>
        new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
    );
    await expect(call({}, context(2100))).rejects.toMatchObject({ name: "timed-out" });
  });
});

let server: Server | undefined;
afterEach(() => new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined))));

type Answer = { readonly status?: number; readonly headers?: Readonly<Record<string, string>>; readonly body?: string };

/** Lambda's API as far as it is called here. https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html */
async function lambda(answer: (request: IncomingMessage, body: string) => Promise<Answer>): Promise<string> {
  server = createServer(async (request, response) => {
    const { status = 200, headers = {}, body = "" } = await answer(request, (await buffer(request)).toString());
    response.writeHead(status, headers).end(body);
  });
  await new Promise<void>((resolve) => server!.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** What the service makes of an error that Node threw. */
const thrown = (error: Error): Answer => ({
  headers: { "x-amz-function-error": "Unhandled" },
  body: JSON.stringify({ errorType: error.name, errorMessage: error.message, trace: error.stack?.split("\n") }),
});

const invoker = (endpoint: string) =>
  port({ kind: "function", part: "echo", function: "echo-x1", region: "us-east-1", endpoint }, world);

describe("a call of another function", () => {
  it("is a call there, and its answer comes back", async () => {
    const { call } = deployed(async (event) => event);
    const endpoint = await lambda(async ({ url, headers }, body) => {
      expect(url).toBe("/2015-03-31/functions/echo-x1/invocations");
      expect(headers["x-amz-invocation-type"]).toBe("RequestResponse");
      return { body: JSON.stringify(await call(JSON.parse(body), context())) };
    });
    expect(await invoker(endpoint).invoke({ name: "猫" })).toMatchObject({
      type: "function.invoked",
      payload: { name: "猫" },
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
  });

  it.each<ErrorKind>(["bad-input", "failed", "not-found", "conflict", "refused", "unavailable", "stopped"])(
    "that fails as %s fails so here",
    async (kind) => {
      const { call } = deployed(async () => {
        throw new MillraceError(kind, "no such video");
      });
      const endpoint = await lambda(async (_, body) =>
        call(JSON.parse(body), context()).then(
          () => ({}),
          (error: Error) => thrown(error),
        ),
      );
      await expect(invoker(endpoint).invoke(1)).rejects.toMatchObject({ kind, message: "no such video" });
    },
  );

  it.each<[ErrorKind, Answer]>([
    [
      "timed-out",
      {
        headers: { "x-amz-function-error": "Unhandled" },
        body: '{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: 1 Error: Task timed out after 3.00 seconds"}',
      },
    ],
    [
      "failed",
      {
        headers: { "x-amz-function-error": "Unhandled" },
        body: '{"errorType":"Runtime.ExitError","errorMessage":"RequestId: 1 Error: Runtime exited with error: signal: killed"}',
      },
    ],
    ["failed", thrown(new TypeError("timeout is not a function"))],
    ["unavailable", { status: 429, headers: { "x-amzn-errortype": "TooManyRequestsException" }, body: "{}" }],
    ["unavailable", { status: 409, headers: { "x-amzn-errortype": "ResourceConflictException" }, body: "{}" }],
    ["not-found", { status: 404, headers: { "x-amzn-errortype": "ResourceNotFoundException" }, body: "{}" }],
    ["refused", { status: 403, headers: { "x-amzn-errortype": "AccessDeniedException" }, body: "{}" }],
    ["bad-input", { status: 413, headers: { "x-amzn-errortype": "RequestTooLargeException" }, body: "{}" }],
  ])("that ends as %s for the service ends so here: %j", async (kind, answer) => {
    const endpoint = await lambda(async () => answer);
    await expect(invoker(endpoint).invoke(1)).rejects.toMatchObject({ kind });
  });

  it("may take longer than connections are kept for", async () => {
    const endpoint = await lambda(async () => {
      await new Promise((resolve) => setTimeout(resolve, 7000));
      return { body: "1" };
    });
    expect(await invoker(endpoint).invoke(1)).toBe(1);
  });

  it("can be started without waiting for it", async () => {
    const seen: unknown[] = [];
    const endpoint = await lambda(async ({ headers }, body) => {
      seen.push(headers["x-amz-invocation-type"], body);
      return { status: 202 };
    });
    const functions = new Functions(
      { kind: "task", part: "t", region: "us-east-1", functionEndpoint: endpoint },
      world,
    );
    await functions.start("echo-x1", "{}");
    expect(seen).toEqual(["Event", "{}"]);
  });
});
