import { join } from "node:path";
import { startDev } from "../../lib/clouds/local/dev.ts";
import { PROJECT } from "../machine.ts";

/** The process of `millrace-http.ts`; it ends when its parent's channel closes. */
const [folder, concurrency] = process.argv.slice(2) as [string, string];
const { url, token, close } = await startDev({
  program: join(PROJECT, "bench", "programs", "tasks.ts"),
  project: PROJECT,
  folder,
  watch: false,
  onEvent: () => {},
  host: { concurrency: Number(concurrency) },
});
process.once("disconnect", () => void close());
process.send?.({ url, token });
