import { readFile } from "node:fs/promises";
import type { Clock } from "../../../runtime/clock.ts";
import type { StreamRecord } from "../../../runtime/events.ts";
import type { Log } from "../../../runtime/handler.ts";
import { connectionOf, readUser } from "../../../runtime/kafka/connection.ts";
import { consume } from "../../../runtime/kafka/consumer.ts";
import type { StreamSource } from "./function-json.ts";

/** What consumes streams; in the bundles of functions alone that streams start. */
export interface StreamConsumer {
  /** Until the signal: what has begun then is handled and committed. */
  consume(
    source: StreamSource,
    options: {
      readonly clock: Clock;
      readonly log: Log;
      readonly signal: AbortSignal;
      handle(records: readonly StreamRecord[]): Promise<void>;
    },
  ): Promise<void>;
}

export const port = (): StreamConsumer => ({
  async consume({ stream, topic, group, batch, window, from, user: file, ...address }, options) {
    const user = file === undefined ? undefined : readUser(await readFile(file.path, "utf8"), file.secret);
    const connection = connectionOf({ kind: "stream", part: stream, ...address }, user);
    await consume({ connection, topic, group, batch, window, from, ...options });
  },
});
