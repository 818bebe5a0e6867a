import { type ErrorRecord, isRetryable, MillraceError } from "../../runtime/errors.ts";
import type { FunctionInvoked } from "../../runtime/events.ts";
import type { Handler } from "../../runtime/handler.ts";
import type { ItemAnswer } from "../../runtime/workflows/links.ts";
import { mapItems } from "../../runtime/workflows/map-items.ts";
import type { Mapping, Origin } from "../../shared/workflow/definition.ts";
import { resolve } from "../../shared/workflow/mapping.ts";

/** What a workflow service whose language cannot count asks of us. Numbers may come as texts. */
export type NextCall =
  /** Fills a mapping in; its references name places. */
  | { readonly verb: "value"; readonly mapping: string; readonly values: Readonly<Record<string, unknown>> }
  /** The items of a map: each with its number, and with what is read inside from around. */
  | {
      readonly verb: "items";
      readonly list: unknown;
      readonly atMost: number;
      readonly as: string;
      readonly around: Readonly<Record<string, unknown>>;
    }
  /** What the items of a map came to. */
  | {
      readonly verb: "collect";
      readonly items: readonly ItemAnswer[];
      readonly tolerated: number;
      readonly collects: boolean;
    }
  /** Whether a step that failed is tried again, and when. */
  | {
      readonly verb: "again";
      readonly attempt: number;
      readonly attempts: number;
      readonly backoff: { readonly first: number; readonly factor: number; readonly longest: number };
      readonly error: ErrorRecord;
    }
  /** Whether there is another round. */
  | { readonly verb: "round"; readonly round: number; readonly atMost: number }
  /** How long there is still to wait. */
  | { readonly verb: "wait"; readonly seconds?: unknown; readonly until?: string };

/** The longest wait at once, in seconds. */
const LONGEST_WAIT = 300;

/** Counts, makes lists and tells the time for a workflow whose service cannot. */
export const handler: Handler<FunctionInvoked<NextCall>> = async ({ payload }, { clock }) => {
  switch (payload.verb) {
    case "value": {
      const known = new Map(Object.entries(payload.values)) as unknown as ReadonlyMap<Origin, unknown>;
      return resolve(JSON.parse(payload.mapping) as Mapping, known);
    }
    case "items":
      return itemsOf(payload);
    case "collect":
      return collected(payload);
    case "again":
      return again(payload, Math.random());
    case "round": {
      const round = Number(payload.round) + 1;
      return { again: round < Number(payload.atMost), round };
    }
    case "wait":
      return rest(payload, clock.now());
    default:
      throw new MillraceError("bad-input", `verb: got ${JSON.stringify((payload as { verb?: unknown }).verb)}`);
  }
};

function itemsOf({ list, atMost, as, around }: Extract<NextCall, { readonly verb: "items" }>) {
  const items = mapItems(list, Number(atMost));
  return { count: items.length, items: items.map((item, index) => ({ ...around, [as]: { item, index } })) };
}

/** @throws the first failure, if there are more than are tolerated. */
function collected({ items, tolerated, collects }: Extract<NextCall, { readonly verb: "collect" }>): unknown {
  const failures = items.flatMap((item) => (item.status === "failed" ? [item.error] : []));
  if (failures.length > Number(tolerated)) throw new MillraceError(failures[0]!.kind, failures[0]!.message);
  if (!collects) return { succeeded: items.length - failures.length, failed: failures.length };
  return items.map((item) => (item.status === "failed" ? null : (item.output ?? null)));
}

/** With full jitter, in whole seconds from 1. */
function again(
  { attempt, attempts, backoff, error }: Extract<NextCall, { readonly verb: "again" }>,
  random: number,
): { readonly again: boolean; readonly attempt: number; readonly seconds: number } {
  const done = Number(attempt);
  const most = Math.min(backoff.longest, backoff.first * backoff.factor ** (done - 1), LONGEST_WAIT);
  return {
    again: isRetryable(error) && done < Number(attempts),
    attempt: done + 1,
    seconds: Math.max(1, Math.ceil(most * random)),
  };
}

function rest({ seconds, until }: Extract<NextCall, { readonly verb: "wait" }>, now: number) {
  const whole = Number(seconds ?? 0);
  if (until === undefined && !(typeof seconds === "number" && whole >= 0)) {
    throw new MillraceError(
      "bad-input",
      `a wait takes a number of seconds, got ${JSON.stringify(seconds) ?? "nothing"}`,
    );
  }
  const end = until === undefined ? now + whole * 1000 : Date.parse(until);
  const left = Math.ceil((end - now) / 1000);
  return {
    wait: left > 0,
    seconds: Math.max(1, Math.min(LONGEST_WAIT, left)),
    until: new Date(end).toISOString(),
  };
}
