import type { Command } from "commander";
import type { BulkFilter } from "../runtime/tasks/bulk.ts";
import { TASK_STATUSES, type TaskStatus } from "../runtime/tasks/task.ts";
import { type Duration, toMilliseconds } from "../shared/duration.ts";
import { UsageError } from "./exit.ts";
import { type CommonOptions, parseDuration, parsePair, parseTime, someOf } from "./options.ts";

/** What says which runs are meant. */
export interface FilterOptions extends CommonOptions {
  readonly status?: readonly TaskStatus[];
  readonly after?: string;
  readonly before?: string;
  readonly since?: Duration;
  readonly tenant?: string;
  readonly prefix?: string;
  readonly tag?: Readonly<Record<string, string>>;
}

export const withFilter = (command: Command): Command =>
  command
    .addOption(someOf("--status <status>", "only runs in this state", TASK_STATUSES))
    .option("--since <time>", "only runs submitted in the last, for example, 1h", parseDuration)
    .option("--after <time>", 'only runs submitted then or later, such as "2026-11-21 08:15"', parseTime)
    .option("--before <time>", "only runs submitted before", parseTime)
    .option("--tenant <tenant>", "only this tenant's runs")
    .option("--prefix <prefix>", "only ids that begin with this")
    .option("--tag <name=value>", "only runs with this tag; may be repeated", parsePair);

/** @param now milliseconds since 1970, that `--since` counts back from */
export function toFilter(
  { status, after, before, since, tenant, prefix, tag }: FilterOptions,
  now: number,
): BulkFilter {
  if (since !== undefined && after !== undefined) throw new UsageError("--since and --after: give one of them");
  const from = since === undefined ? after : new Date(now - toMilliseconds(since)).toISOString();
  return {
    ...(status && { status }),
    ...(from !== undefined && { after: from }),
    ...(before !== undefined && { before }),
    ...(tenant !== undefined && { tenant }),
    ...(prefix !== undefined && { prefix }),
    ...(tag && { tags: tag }),
  };
}
