import { InvokeCommand, type InvokeCommandOutput, LambdaClient } from "@aws-sdk/client-lambda";
import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import { type ErrorRecord, fromErrorRecord, isErrorKind } from "../../../runtime/errors.ts";
import { kindOfWords } from "../../../runtime/tasks/platform-words.ts";
import { type AwsWorld, clientSettings } from "./account.ts";
import { ask, type Kinds } from "./ask.ts";

const KINDS: Kinds = { TooManyRequestsException: "unavailable", RequestTooLargeException: "bad-input" };

/** Lambda answers a call when the function has ended, 15 minutes later at most: until then the line is silent. */
const SILENCE = 16 * 60_000;

/** The functions of one account and region. */
export class Functions {
  readonly #client: LambdaClient;
  readonly #world: AwsWorld;

  /** @param address of a function, or of something that lies where its functions do */
  constructor(address: LinkAddress, world: AwsWorld) {
    const endpoint = address.functionEndpoint ?? address.endpoint;
    this.#client = new LambdaClient(clientSettings(world, field(address, "region"), endpoint, SILENCE));
    this.#world = world;
  }

  /**
   * Calls a function and waits for its answer.
   *
   * @throws what the function threw.
   */
  async invoke(name: string, payload: string): Promise<unknown> {
    const { FunctionError, Payload } = await this.#invoke(name, payload, "RequestResponse");
    const text = Buffer.from(Payload ?? []).toString("utf8");
    if (FunctionError !== undefined) throw fromErrorRecord(readFunctionError(text));
    return text === "" ? undefined : (JSON.parse(text) as unknown);
  }

  /** Has a function called later; the service tries again by itself. */
  async start(name: string, payload: string): Promise<void> {
    await this.#invoke(name, payload, "Event");
  }

  /** https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html */
  #invoke(FunctionName: string, payload: string, InvocationType: "RequestResponse" | "Event") {
    const request = new InvokeCommand({ FunctionName, InvocationType, Payload: Buffer.from(payload) });
    const send = (options: { readonly abortSignal: AbortSignal }): Promise<InvokeCommandOutput> =>
      this.#client.send(request, options);
    return ask(`calling ${FunctionName}`, this.#world, send, KINDS);
  }
}

/** How an error's kind travels: in its name, which the service calls its type. */
const PREFIX = "Millrace.";

/** The error to throw so that a caller gets the same kind of error. */
export function toThrown({ kind, message, stack }: ErrorRecord): Error {
  const error = new Error(message);
  error.name = `${PREFIX}${kind}`;
  if (stack !== undefined) error.stack = stack;
  return error;
}

/** https://docs.aws.amazon.com/lambda/latest/dg/nodejs-exceptions.html */
function readFunctionError(text: string): ErrorRecord {
  const { errorType = "", errorMessage = "" } = parse(text);
  const kind = errorType.startsWith(PREFIX) ? errorType.slice(PREFIX.length) : undefined;
  if (isErrorKind(kind)) return { kind, message: errorMessage };
  const message = [errorType, errorMessage].filter(Boolean).join(": ") || "the function failed without a message";
  return { kind: kindOfWords(message) === "timed-out" ? "timed-out" : "failed", message };
}

function parse(text: string): { readonly errorType?: string; readonly errorMessage?: string } {
  try {
    return (JSON.parse(text) ?? {}) as { readonly errorType?: string; readonly errorMessage?: string };
  } catch {
    return { errorMessage: text };
  }
}
