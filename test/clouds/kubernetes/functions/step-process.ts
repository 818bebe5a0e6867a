import { start } from "../../../../lib/clouds/kubernetes/runtime/step.ts";
import { MillraceError } from "../../../../lib/runtime/errors.ts";
import type { FunctionInvoked } from "../../../../lib/runtime/events.ts";
import { SURROUNDINGS } from "../../../../lib/runtime/surroundings.ts";

interface Wish {
  readonly does: "echo" | "fail" | "exit" | "hang" | "wait";
  readonly kind?: "bad-input" | "unavailable";
}

/** A function that does as it is told, as the process of a step's pod. */
const handler = async ({ payload, id }: FunctionInvoked<Wish>, { signal }: { readonly signal: AbortSignal }) => {
  switch (payload.does) {
    case "echo":
      return { id, payload };
    case "fail":
      throw new MillraceError(payload.kind!, "as told");
    case "exit":
      process.exit(0);
      break;
    case "hang":
      return new Promise(() => setInterval(() => {}, 1000));
    case "wait":
      process.stdout.write("waiting\n");
      return new Promise((_, reject) => {
        const beat = setInterval(() => {}, 1000);
        signal.addEventListener("abort", () => {
          clearInterval(beat);
          reject(signal.reason);
        });
      });
  }
};

await start({ handler: handler as never, code: {}, settings: {}, ports: {} }, SURROUNDINGS, process.argv[2]);
