import { MillraceError } from "../../runtime/errors.ts";
import type { FunctionInvoked } from "../../runtime/events.ts";
import type { Handler } from "../../runtime/handler.ts";
import { Ahead } from "./ahead.ts";
import { portions } from "./batches.ts";
import { type Counts, Delivery, type EtlLinks } from "./deliver.ts";
import type { EtlCode } from "./operators.ts";
import { type ConnectorRecord, fromConnector } from "./records.ts";
import type { EtlSettings } from "./settings.ts";

/** A batch that a run delivers. Its result is what the operators made, or how many of what. */
export const handler: Handler<
  FunctionInvoked<readonly ConnectorRecord[]>,
  EtlLinks,
  EtlSettings,
  readonly unknown[] | Counts,
  EtlCode
> = async ({ payload }, context) => {
  if (!Array.isArray(payload) || payload.length === 0) {
    throw new MillraceError("bad-input", "the payload is a list of records, such as the connector's");
  }
  const { run, links, settings } = context;
  const isResult = settings.to === "result";
  const stream = (payload[0] as ConnectorRecord).topic;
  const records = payload.map(fromConnector);
  const delivery = await Delivery.of(context);
  const ahead = new Ahead(links.sent, "run", run.id, delivery.tries);
  if (!isResult) await ahead.read();
  const { until } = ahead;
  const made: unknown[] = [];
  let done = 0;
  for (const some of portions(records)) {
    const rest = isResult ? some : some.filter(({ offset }) => until === undefined || offset >= until);
    if (isResult) {
      const finished = await delivery.finish(stream, rest, ahead);
      for (const { outputs } of finished) for (const { body } of outputs) made.push(JSON.parse(String(body)));
    } else if (rest.length > 0) {
      const place = { start: rest[0]!.offset, commit: (next: number) => ahead.doneUntil(next) };
      await delivery.deliver(stream, rest, place, ahead);
    }
    done += some.length;
    run.progress(done / records.length);
  }
  return isResult ? made : delivery.counts;
};
