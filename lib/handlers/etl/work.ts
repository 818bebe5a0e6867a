import { MillraceError } from "../../runtime/errors.ts";
import type { FunctionInvoked } from "../../runtime/events.ts";
import type { Handler } from "../../runtime/handler.ts";
import { Ahead } from "./ahead.ts";
import { portions } from "./batches.ts";
import { type Counts, Delivery, type EtlLinks } from "./deliver.ts";
import type { EtlCode } from "./operators.ts";
import { type ConnectorRecord, fromConnector } from "./records.ts";
import type { EtlSettings } from "./settings.ts";

/** A run's links: nothing of the stream is left to be claimed. */
export type WorkLinks = Omit<EtlLinks, "source" | "to"> & Partial<Pick<EtlLinks, "to">>;

/** The settings of a pipeline whose runs may answer what they make, for the envelope to carry it. */
export type WorkSettings = Omit<EtlSettings, "to"> & { readonly to: EtlSettings["to"] | "result" };

/** A batch that a run delivers. Its result is what the operators made, or how many of what. */
export const handler: Handler<
  FunctionInvoked<readonly ConnectorRecord[]>,
  WorkLinks,
  WorkSettings,
  readonly unknown[] | Counts,
  EtlCode
> = async ({ payload }, given) => {
  if (!Array.isArray(payload) || payload.length === 0) {
    throw new MillraceError("bad-input", "the payload is a list of records, such as the connector's");
  }
  const { run, links, settings } = given;
  const isResult = settings.to === "result";
  const context = {
    ...given,
    links: { ...links, source: NO_SOURCE, to: links.to ?? NO_TARGET },
    settings: { ...settings, to: settings.to === "result" ? ("queue" as const) : settings.to },
  };
  const stream = (payload[0] as ConnectorRecord).topic;
  const records = payload.map(fromConnector);
  const delivery = await Delivery.of(context);
  const ahead = await Ahead.of(links.sent, "run", run.id, delivery.tries);
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

/** What no run is linked to, and none asks for. */
const NO_SOURCE = {} as EtlLinks["source"];
const NO_TARGET = {} as EtlLinks["to"];
