import { CreateTableCommand, DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { CreateQueueCommand, SQSClient } from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { flowDefinition } from "../../lib/clouds/aws/deploy/flow-definition.ts";
import { start } from "../../lib/clouds/aws/runtime/entry.ts";
import { port, type StatesFlow } from "../../lib/clouds/aws/runtime/workflow.ts";
import { handler as taskHandler, type WorkflowTask } from "../../lib/handlers/flows/task.ts";
import { systemClock } from "../../lib/runtime/clock.ts";
import { isOver, type WorkflowHistory } from "../../lib/runtime/workflows/run.ts";
import { writeEnvironment } from "../../lib/shared/environment.ts";
import type { Block } from "../../lib/shared/workflow/definition.ts";
import { DEFINITIONS, FUNCTIONS, type FunctionName, TASK } from "../workflows/definitions.ts";
import { Workshop } from "./aws/workshop.ts";
import { type MotoServer, startMoto } from "./servers/moto.ts";

const silent = { debug() {}, info() {}, warn() {}, error() {} };

let moto: MotoServer;
let workshop: Workshop;
let sqs: SQSClient;
let queue: string;
beforeAll(async () => {
  moto = await startMoto();
  workshop = await Workshop.open(moto, "workflows");
  for (const [name, work] of Object.entries(FUNCTIONS)) workshop.functions.set(name, lambda(work as never));
  const settings = { endpoint: moto.url, region: moto.region, credentials: moto.credentials };
  sqs = new SQSClient(settings);
  queue = (await sqs.send(new CreateQueueCommand({ QueueName: "questions" }))).QueueUrl!;
  const keys = [
    { AttributeName: "pk", KeyType: "HASH" },
    { AttributeName: "sk", KeyType: "RANGE" },
  ] as const;
  await new DynamoDBClient(settings).send(
    new CreateTableCommand({
      TableName: "tasks",
      BillingMode: "PAY_PER_REQUEST",
      KeySchema: [...keys],
      AttributeDefinitions: keys.map(({ AttributeName }) => ({ AttributeName, AttributeType: "S" })),
    }),
  );
});
afterAll(async () => {
  await workshop?.close();
  await moto?.stop();
});

/** A function as Lambda loads it: called through the real entry. */
function lambda(work: (input: unknown, attempt: number) => unknown) {
  const place = { region: "us-east-1", account: "1" };
  const variables = writeEnvironment({ place, logLevel: "error", tools: {}, sources: {}, links: {} });
  const handler = async (
    event: { readonly payload: unknown },
    { run }: { readonly run: { readonly attempt: number } },
  ) => work(event.payload, run.attempt);
  const call = start(
    { handler: handler as never, code: {}, settings: {}, ports: {} },
    { variables, clock: systemClock, write: () => {} },
  );
  return (payload: unknown) => call(payload, { awsRequestId: "r", getRemainingTimeInMillis: () => 60_000 });
}

/** The function of a task's steps, whose runs end at once. */
function taskOf(work: (input: never, attempt: number) => unknown) {
  const runs = new Map<string, object>();
  const task = {
    get: async (id: string) => runs.get(id),
    submit: async (id: string, input: unknown) => {
      const run = { id, status: "succeeded", result: work({ id, input } as never, 1) };
      runs.set(id, run);
      return run;
    },
    audit: async (id: string) => runs.get(id),
  } as unknown as WorkflowTask;
  return lambda((payload) => taskHandler({ payload } as never, { links: { task } } as never));
}

interface DeployOptions {
  readonly tasks?: Readonly<Record<string, FunctionName>> | undefined;
  readonly timeout?: number;
}

let made = 0;
/** A workflow that is deployed. */
async function deployed(definition: Block, { tasks = {}, timeout = 60 }: DeployOptions = {}): Promise<StatesFlow> {
  made += 1;
  const name = `flow-${made}`;
  for (const [task, work] of Object.entries(tasks))
    workshop.functions.set(`${name}-${task}`, taskOf(FUNCTIONS[work] as never));
  const machine = await workshop.machine(
    name,
    flowDefinition(
      { definition, timeout },
      {
        functions: Object.fromEntries([...workshop.functions.keys()].map((one) => [one, one])),
        timeouts: {},
        tasks: { [TASK]: `${name}-${TASK}` },
        queues: { questions: queue },
        table: "tasks",
        partition: `workflow/${name}`,
      },
    ),
  );
  const endpoints = { statesEndpoint: moto.url, tableEndpoint: moto.url };
  return port(
    {
      kind: "workflow",
      part: name,
      machine,
      region: moto.region,
      table: "tasks",
      partition: `workflow/${name}`,
      ...endpoints,
    },
    {
      signal: new AbortController().signal,
      clock: systemClock,
      log: silent,
      files: "/nowhere",
      credentials: async () => moto.credentials,
    },
  );
}

async function over(flow: StatesFlow, id: string): Promise<WorkflowHistory> {
  for (;;) {
    const history = await flow.get(id);
    if (history && isOver(history.run.status)) return history;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** The stand-in loses the cause of what it is told by token. */
const wordless = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value ?? null, (name, inner) => (name === "message" || name === "why" ? null : inner)));

describe("definitions, executed by moto", () => {
  test.concurrent.each(DEFINITIONS)("$name", async ({ definition, input, expected, tasks, answers = {} }) => {
    const flow = await deployed(definition, { tasks });
    await flow.start("run-1", input);
    for (const [step, answer] of Object.entries(answers)) await flow.answer(`run-1/${step}`, answer);
    const { run, output } = await over(flow, "run-1");
    if ("output" in expected) expect(wordless({ error: run.error, output })).toEqual(wordless(expected));
    else expect(run).toMatchObject({ status: "failed", error: { kind: expected.error.kind } });
  });
});
