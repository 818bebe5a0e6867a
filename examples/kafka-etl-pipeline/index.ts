import { local } from "../../lib/clouds/local/index.ts";
import { code, filter, KafkaEtlPipeline, map, mask, python } from "../../lib/index.ts";

/** Here by `npx millrace dev examples/kafka-etl-pipeline/index.ts`, with a `python3` for the last. */
const cloud = local();

/**
 * Orders, one after the other: each once in `orders-done`, those that are none in `orders-dead-letters`.
 *
 *     npx millrace streams produce orders-source '{"id":"1","customer":"Ann","items":[{"name":"tea","price":2.5,"count":2}]}'
 *     npx millrace streams produce orders-source '{"id":"2"}'
 *     npx millrace queues peek orders-done
 *     npx millrace queues peek orders-dead-letters
 *     npx millrace tasks submit orders-redrive --wait
 */
export const orders = new KafkaEtlPipeline("orders", {
  cloud,
  operators: [
    code<typeof import("./orders.ts")>(new URL("./orders.ts", import.meta.url)),
    filter("total > 0"),
    mask(["customer"], { shown: 2 }),
    map("{ 'order': id, 'customer': customer, 'total': total }"),
  ],
  onFailure: code<typeof import("./undo.ts")>(new URL("./undo.ts", import.meta.url)),
});

/**
 * Work that takes its time: a run for each record, to be listed, stopped and retried. Produce two, stop one of the runs
 * (`millrace tasks stop scores-runs <id>`), and one message lies in each of `scores-done` and `scores-dead-letters`.
 */
export const scores = new KafkaEtlPipeline("scores", {
  cloud,
  delivery: "async",
  batch: 1,
  operators: [code<typeof import("./scores.ts")>(new URL("./scores.ts", import.meta.url))],
});

/**
 * Comments, in Python, many of them in a run.
 *
 *     npx millrace streams produce comments-source '{"text":" ﬁne ﬁlm "}'
 *     npx millrace queues peek comments-done
 */
export const comments = new KafkaEtlPipeline("comments", {
  cloud,
  delivery: "async",
  operators: [python(new URL("./python/", import.meta.url), "words:clean")],
});

export const millrace = cloud.output;
