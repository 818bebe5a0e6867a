import { type InvocationType, InvokeCommand, LambdaClient } from "@aws-sdk/client-lambda";
import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import { fromErrorRecord } from "../../../runtime/errors.ts";
import { programAnswer, programError } from "../../../runtime/program.ts";
import { type AwsWorld, clientSettings } from "./account.ts";
import { ask, type Kinds } from "./ask.ts";
import { readThrown } from "./thrown.ts";

/** https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_Errors */
const KINDS: Kinds = {
  RequestTooLargeException: "bad-input",
  ResourceConflictException: "unavailable", // being created or updated
  ResourceNotReadyException: "unavailable",
  TooManyRequestsException: "unavailable",
};

/** The functions of one account and region. */
export class Functions {
  readonly #client: LambdaClient;
  readonly #world: AwsWorld;

  /** @param address of a function, or of something that lies where its functions do */
  constructor(address: LinkAddress, world: AwsWorld) {
    const endpoint = address.functionEndpoint ?? (address.kind === "function" ? address.endpoint : undefined);
    // A function that is waited for may be silent for as long as it takes.
    this.#client = new LambdaClient(clientSettings(world, field(address, "region"), endpoint, 0));
    this.#world = world;
  }

  /**
   * Calls a function and waits for its answer.
   *
   * @throws what the function threw.
   */
  async invoke(name: string, payload: string): Promise<unknown> {
    const { failure, text } = await this.#wait(name, payload);
    if (failure !== undefined) throw fromErrorRecord(readThrown(failure, text));
    return text === "" ? undefined : (JSON.parse(text) as unknown);
  }

  /**
   * Calls a program that is a function of its own, and waits for its answer.
   *
   * @throws `failed` with what the program says, `timed-out` if it took too long
   */
  async call(name: string, payload: string): Promise<unknown> {
    const { failure, text } = await this.#wait(name, payload);
    if (failure === undefined) return programAnswer(text);
    const record = readThrown(failure, text);
    throw record.kind === "timed-out" ? fromErrorRecord(record) : programError(text, failure);
  }

  /** The answer; with the service's word for its failure if the function failed. */
  async #wait(name: string, payload: string): Promise<{ readonly failure: string | undefined; readonly text: string }> {
    const { FunctionError, Payload = new Uint8Array() } = await this.#invoke(name, payload, "RequestResponse");
    return { failure: FunctionError, text: Buffer.from(Payload).toString("utf8") };
  }

  /** Has a function called soon. */
  async start(name: string, payload: string): Promise<void> {
    await this.#invoke(name, payload, "Event");
  }

  #invoke(name: string, payload: string, type: InvocationType) {
    const command = new InvokeCommand({
      FunctionName: name,
      InvocationType: type,
      Payload: Buffer.from(payload),
    });
    const what = type === "Event" ? `starting ${name}` : `calling ${name}`;
    return ask(what, this.#world, (options) => this.#client.send(command, options), KINDS);
  }
}
