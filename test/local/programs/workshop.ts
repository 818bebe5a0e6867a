import { createHash } from "node:crypto";
import type {
  BucketReader,
  BucketWriter,
  Context,
  FunctionInvoked,
  QueueSender,
  SecretReader,
} from "../../../lib/runtime/index.ts";

/** What the workshop is asked to do. */
export type Order =
  | { readonly ask: "secret" }
  | { readonly ask: "write" }
  | { readonly ask: "send"; readonly bytes: number; readonly delay?: number }
  | { readonly ask: "fail"; readonly message: string }
  | { readonly ask: "echo"; readonly text: string };

interface Links {
  readonly password: SecretReader;
  readonly papers: BucketReader;
  readonly outbox: QueueSender;
}

export async function handler({ payload }: FunctionInvoked<Order>, { links, log }: Context<Links>) {
  switch (payload.ask) {
    case "secret": {
      const value = await links.password.value();
      log.info("the secret was read", { characters: value.length });
      return createHash("sha256").update(value).digest("hex");
    }
    case "write":
      // Its link lets it read: the type says so, and so does the cloud.
      return (links.papers as unknown as BucketWriter).put("mine.txt", "not allowed");
    case "send":
      return links.outbox.send("x".repeat(payload.bytes), payload.delay === undefined ? {} : { delay: payload.delay });
    case "fail":
      throw new Error(payload.message);
    case "echo":
      return payload.text;
  }
}
