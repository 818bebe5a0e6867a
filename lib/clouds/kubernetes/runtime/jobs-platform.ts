import { createInbox, type NatsConnection } from "@nats-io/transport-node";
import { MillraceError, toErrorRecord } from "../../../runtime/errors.ts";
import { attemptCall } from "../../../runtime/tasks/attempt.ts";
import type { AttemptRef } from "../../../runtime/tasks/ids.ts";
import type { AttemptStart, AttemptState, TaskPlatform } from "../../../runtime/tasks/platform.ts";
import { REPLY } from "./function.ts";
import type { KeeperMessage } from "./keeper-message.ts";
import { jobName } from "./labels.ts";
import { publish } from "./nats.ts";

/** Milliseconds until the keeper has to have answered. */
const ANSWER = 10_000;

/**
 * Runs attempts as Jobs, by the task's keeper: nobody else may make Jobs, for whoever may make one may run anything in
 * the namespace. What is asked of a keeper that is away waits in its stream.
 */
export class JobsPlatform implements TaskPlatform {
  readonly #nats: () => Promise<NatsConnection>;
  readonly #keeper: string;

  /** @param keeper the subject of the keeper's messages */
  constructor(nats: () => Promise<NatsConnection>, keeper: string) {
    this.#nats = nats;
    this.#keeper = keeper;
  }

  /** One that is asked for twice within the window of the stream is one message; later, the keeper sees that it was. */
  start(attempt: AttemptStart): Promise<void> {
    return this.#tell({ millrace: "start", attempt: attemptCall(attempt) }, { id: `start/${jobName(attempt)}` });
  }

  stop({ task, id, attempt }: AttemptRef, grace: number): Promise<void> {
    return this.#tell({ millrace: "stop", attempt: { task, id, attempt }, grace });
  }

  /** @throws `unavailable` if the keeper does not answer */
  async inspect({ task, id, attempt }: AttemptRef): Promise<AttemptState> {
    const nats = await this.#connection();
    const inbox = createInbox();
    const answers = nats.subscribe(inbox, { max: 1, timeout: ANSWER });
    try {
      await this.#tell({ millrace: "inspect", attempt: { task, id, attempt } }, { headers: { [REPLY]: inbox } });
      for await (const answer of answers) return answer.json<AttemptState>();
    } catch (error) {
      const { message } = toErrorRecord(error);
      throw new MillraceError("unavailable", `the keeper at ${this.#keeper} does not answer: ${message}`, {
        cause: error,
      });
    } finally {
      answers.unsubscribe();
    }
    throw new MillraceError("unavailable", `the keeper at ${this.#keeper} does not answer: the connection was closed`);
  }

  /** Has the keeper look when something is due. */
  wake(): Promise<void> {
    return this.#tell({ millrace: "wake" });
  }

  async #tell(
    message: KeeperMessage,
    rest: { readonly id?: string; readonly headers?: Readonly<Record<string, string>> } = {},
  ): Promise<void> {
    const body = JSON.stringify(message);
    await publish(await this.#connection(), `tell the keeper at ${this.#keeper}`, {
      subject: this.#keeper,
      body,
      ...rest,
    });
  }

  async #connection(): Promise<NatsConnection> {
    try {
      return await this.#nats();
    } catch (error) {
      throw new MillraceError("unavailable", `no connection to NATS: ${toErrorRecord(error).message}`, {
        cause: error,
      });
    }
  }
}
