import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import {
  CreateStateMachineCommand,
  DescribeExecutionCommand,
  type DescribeExecutionOutput,
  SendTaskFailureCommand,
  SendTaskSuccessCommand,
  SFNClient,
  StartExecutionCommand,
} from "@aws-sdk/client-sfn";
import { CreateQueueCommand, DeleteMessageCommand, ReceiveMessageCommand, SQSClient } from "@aws-sdk/client-sqs";
import { expect } from "vitest";
import type { MotoServer } from "../servers/moto.ts";
import { executable, type Order } from "./machine.ts";

/** A function as the service calls it: JSON in, JSON out; what it throws is its failure. */
export type Called = (payload: unknown) => Promise<unknown>;

/** Starts a container with these variables. */
export type Contained = (variables: Readonly<Record<string, string>>) => void;

/**
 * What moto does not have: functions that are really called, and containers that are really started. State machines are
 * executed by moto, and ask here for the work of their tasks; Lambda's own API answers here too.
 */
export class Workshop {
  readonly functions = new Map<string, Called>();
  readonly containers = new Map<string, Contained>();
  /** What was called, in order. */
  readonly calls: { readonly name: string; readonly payload: unknown }[] = [];
  readonly sfn: SFNClient;
  readonly #sqs: SQSClient;
  readonly #orders: string;
  readonly #server: Server;
  readonly #closing = new AbortController();
  #taking: Promise<void> = Promise.resolve();

  private constructor(sfn: SFNClient, sqs: SQSClient, orders: string) {
    this.sfn = sfn;
    this.#sqs = sqs;
    this.#orders = orders;
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  static async open({ url, region, credentials }: MotoServer, name: string): Promise<Workshop> {
    const settings = { endpoint: url, region, credentials };
    const sqs = new SQSClient(settings);
    const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName: `${name}-orders` }));
    const workshop = new Workshop(new SFNClient(settings), sqs, QueueUrl!);
    await new Promise<void>((resolve) => workshop.#server.listen(0, "127.0.0.1", resolve));
    workshop.#taking = workshop.#take();
    return workshop;
  }

  /** Where Lambda's API answers. */
  get functionEndpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /**
   * @param wait seconds that a `Wait` lasts, whatever it says
   * @returns the machine's ARN
   */
  async machine(name: string, definition: object, wait?: number): Promise<string> {
    const request = new CreateStateMachineCommand({
      name,
      definition: executable(definition, this.#orders, wait),
      roleArn: "arn:aws:iam::123456789012:role/states",
    });
    return (await this.sfn.send(request)).stateMachineArn!;
  }

  /** Executes a machine to its end. */
  async execute(stateMachineArn: string, input: unknown): Promise<DescribeExecutionOutput> {
    const request = new StartExecutionCommand({ stateMachineArn, input: JSON.stringify(input) });
    const { executionArn } = await this.sfn.send(request);
    for (;;) {
      const execution = await this.sfn.send(new DescribeExecutionCommand({ executionArn }));
      if (execution.status !== "RUNNING") return execution;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    await this.#taking;
  }

  /** Calls a function; the payload has been bytes on its way, and so has the answer. */
  async call(name: string, payload: unknown): Promise<unknown> {
    this.calls.push({ name, payload });
    const called = this.functions.get(name);
    if (!called) throw Object.assign(new Error(`no function ${name}`), { name: "Lambda.ResourceNotFoundException" });
    return toJson(await called(toJson(payload)));
  }

  async #take(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      const request = new ReceiveMessageCommand({
        QueueUrl: this.#orders,
        MaxNumberOfMessages: 10,
        WaitTimeSeconds: 2,
      });
      const { Messages = [] } = await this.#sqs.send(request, { abortSignal: signal }).catch(() => ({ Messages: [] }));
      for (const { Body, ReceiptHandle } of Messages) {
        await this.#sqs.send(new DeleteMessageCommand({ QueueUrl: this.#orders, ReceiptHandle }));
        void this.#work(JSON.parse(Body!) as Order);
      }
    }
  }

  async #work({ token: taskToken, function: name, payload, overrides }: Order): Promise<void> {
    if (overrides) return this.#contain(overrides);
    const answer = await this.call(name!, payload).then(
      (Payload) => new SendTaskSuccessCommand({ taskToken, output: JSON.stringify({ StatusCode: 200, Payload }) }),
      (error: Error) =>
        new SendTaskFailureCommand({ taskToken, error: error.name, cause: JSON.stringify(said(error)) }),
    );
    // One that was stopped meanwhile waits for nothing.
    await this.sfn.send(answer as SendTaskSuccessCommand).catch(() => {});
  }

  #contain(overrides: NonNullable<Order["overrides"]>): void {
    // https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskOverride.html
    expect(JSON.stringify(overrides).length).toBeLessThanOrEqual(8192);
    const [{ Name, Environment }] = overrides.ContainerOverrides;
    this.containers.get(Name)!(Object.fromEntries(Environment.map(({ Name, Value }) => [Name, Value])));
  }

  /** https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html */
  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, name] = /^\/2015-03-31\/functions\/([^/]+)\/invocations$/.exec(request.url ?? "") ?? [];
    const payload = JSON.parse((await buffer(request)).toString()) as unknown;
    const called = this.call(decodeURIComponent(name!), payload);
    if (request.headers["x-amz-invocation-type"] === "Event") {
      called.catch(() => {});
      return void response.writeHead(202).end();
    }
    await called.then(
      (answer) => response.writeHead(200).end(JSON.stringify(answer)),
      (error: Error) => {
        response.writeHead(200, { "x-amz-function-error": "Unhandled" }).end(JSON.stringify(said(error)));
      },
    );
  }
}

/** https://docs.aws.amazon.com/lambda/latest/dg/nodejs-exceptions.html */
const said = ({ name, message, stack = "" }: Error) => ({
  errorType: name,
  errorMessage: message,
  trace: stack.split("\n"),
});

const toJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value ?? null));
