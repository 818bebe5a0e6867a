import { DynamoDBClient, UpdateItemCommand } from "@aws-sdk/client-dynamodb";
import { SendTaskFailureCommand, SendTaskSuccessCommand, SFNClient } from "@aws-sdk/client-sfn";
import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import { MillraceError } from "../../../runtime/errors.ts";
import type { Answer } from "../../../runtime/workflows/run.ts";
import type { StepAnswer } from "../../../runtime/workflows/step-call.ts";
import { type AwsWorld, clientSettings } from "./account.ts";
import { ask } from "./ask.ts";

/** An answer is forgotten so long after it came, in seconds: as long as its execution is known. */
const KEPT = 90 * 86_400;

/** With what is around it, less than the 256 KiB of a state. */
const MOST_BYTES = 192 * 1024;

/**
 * What the callbacks of a workflow wait for: rows of the task table, each with the token of the state that waits, the
 * answer, or both. Whoever comes second, state or answer, sees the other.
 */
export class Callbacks {
  readonly #address: LinkAddress;
  readonly #world: AwsWorld;
  readonly #table: DynamoDBClient;
  readonly #states: SFNClient;

  constructor(address: LinkAddress, world: AwsWorld) {
    const region = field(address, "region");
    this.#address = address;
    this.#world = world;
    this.#table = new DynamoDBClient(clientSettings(world, region, address.tableEndpoint));
    this.#states = new SFNClient(clientSettings(world, region, address.statesEndpoint));
  }

  /**
   * The first answer counts. One that was written down and not told, since the process ended in between, is told by the
   * next.
   *
   * @throws `refused` for an answer that is too large
   */
  async answer(callback: string, answer: Answer): Promise<void> {
    const text = JSON.stringify(toStepAnswer(answer));
    const bytes = Buffer.byteLength(text);
    if (bytes > MOST_BYTES) {
      throw new MillraceError(
        "refused",
        `the answer has ${bytes} bytes, and a workflow carries at most ${MOST_BYTES}: put it into a bucket and answer its key`,
      );
    }
    const { token, counts } = await this.#keep(callback, text);
    if (token === undefined) return;
    await this.#tell(token, JSON.parse(counts) as StepAnswer);
    await this.#update(callback, "SET #told = :yes", { "#told": "told" }, { ":yes": { BOOL: true } });
  }

  async #keep(
    callback: string,
    text: string,
  ): Promise<{ readonly token: string | undefined; readonly counts: string }> {
    const until = Math.ceil(this.#world.clock.now() / 1000) + KEPT;
    const row = await this.#update(
      callback,
      "SET #answer = if_not_exists(#answer, :answer), #ttl = :until",
      { "#answer": "answer", "#ttl": "ttl" },
      { ":answer": { S: text }, ":until": { N: String(until) } },
    );
    return { token: row.told?.BOOL ? undefined : row.token?.S, counts: row.answer?.S ?? text };
  }

  async #update(
    callback: string,
    UpdateExpression: string,
    ExpressionAttributeNames: Record<string, string>,
    ExpressionAttributeValues: NonNullable<
      ConstructorParameters<typeof UpdateItemCommand>[0]["ExpressionAttributeValues"]
    >,
  ) {
    const command = new UpdateItemCommand({
      TableName: field(this.#address, "table"),
      Key: { pk: { S: field(this.#address, "partition") }, sk: { S: callback } },
      UpdateExpression,
      ExpressionAttributeNames,
      ExpressionAttributeValues,
      ReturnValues: "ALL_NEW",
    });
    const { Attributes = {} } = await ask(`answering ${callback}`, this.#world, (options) =>
      this.#table.send(command, options),
    );
    return Attributes;
  }

  /** A state that waits no more was told before, or gave up. */
  async #tell(taskToken: string, answer: StepAnswer): Promise<void> {
    const { signal } = this.#world;
    // As text, as it lies in the table.
    const output = JSON.stringify({ Answer: JSON.stringify(answer) });
    try {
      await ask("answering", this.#world, (options) =>
        answer.status === "succeeded"
          ? this.#states.send(new SendTaskSuccessCommand({ taskToken, output }), options)
          : this.#states.send(
              new SendTaskFailureCommand({ taskToken, error: answer.error.kind, cause: answer.error.message }),
              options,
            ),
      );
    } catch (error) {
      signal.throwIfAborted();
      const { cause } = error as { readonly cause?: { readonly name?: string } };
      if (!OVER.has(cause?.name ?? "")) throw error;
    }
  }
}

/** https://docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskSuccess.html#API_SendTaskSuccess_Errors */
const OVER: ReadonlySet<string> = new Set(["TaskTimedOut", "TaskDoesNotExist", "InvalidToken"]);

const toStepAnswer = (answer: Answer): StepAnswer =>
  "error" in answer
    ? { status: "failed", error: { kind: answer.error.kind, message: answer.error.message.slice(0, 1024) } }
    : { status: "succeeded", output: answer.output ?? null };
