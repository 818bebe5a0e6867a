import { loadBullMq } from "./bullmq-package.ts";
import { work } from "./job.ts";

/** BullMQ's worker process; it ends when its parent's channel closes. */
const [name, port, concurrency] = process.argv.slice(2) as [string, string, string];
const { Worker } = loadBullMq();
const connection = { host: "127.0.0.1", port: Number(port), maxRetriesPerRequest: null };
const worker = new Worker(name, ({ data }) => work(data), { connection, concurrency: Number(concurrency) });
await worker.waitUntilReady();
process.once("disconnect", () => void worker.close().then(() => process.exit(0)));
process.send?.("ready");
