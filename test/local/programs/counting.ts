import { local } from "../../../lib/clouds/local/index.ts";
import { AsyncTask, code } from "../../../lib/index.ts";
import { Inbox } from "./inbox.ts";

const cloud = local();
const notes = {
  code: code<typeof import("./notes.ts")>(new URL("./notes.ts", import.meta.url)),
  settings: { book: process.env.MILLRACE_TEST_BOOK ?? "/dev/null" },
};

/** Small runs, many of them; every end is told to a queue and to a hook. */
new AsyncTask("count", {
  cloud,
  handler: code<typeof import("./count.ts")>(new URL("./count.ts", import.meta.url)),
  backoff: { first: "1 second", factor: 1 },
  onSuccess: [new Inbox("done", { cloud }).messages, notes],
  onFailure: notes,
});

export const millrace = cloud.output;
