import { type Duration, toSeconds } from "../../shared/duration.ts";
import { MillraceError } from "../errors.ts";
import type { TaskDefinition } from "./definition.ts";
import { checkId } from "./ids.ts";
import type { SubmitRequest } from "./steps.ts";
import { type SubmitOptions, TASK_STATUSES, type TaskFilter } from "./task.ts";

const DEFAULT_LANE = "default";

/** What a submit asks for, with defaults settled. @throws `refused`, naming the option */
export function submitRequest(
  { name, expires }: TaskDefinition,
  id: string,
  options: SubmitOptions,
  now: number,
): SubmitRequest {
  const { tenant, lane = DEFAULT_LANE, priority = 0, tags = {}, deadline, event, by = "client" } = options;
  checkId(id);
  if (tenant !== undefined) checkLabel("tenant", tenant);
  checkLabel("lane", lane);
  if (!Number.isSafeInteger(priority)) refuse("priority", "a whole number", priority);
  for (const [tag, value] of Object.entries(tags))
    if (typeof value !== "string") refuse(`tags.${tag}`, "a text", value);
  const due = now + Math.round((secondsOf("delay", options.delay) ?? 0) * 1000);
  const keeps = secondsOf("expires", options.expires) ?? expires;
  return {
    task: name,
    id,
    tenant,
    lane,
    priority,
    tags,
    deadline: deadline === undefined ? undefined : timeOf("deadline", deadline),
    due,
    expires: keeps === undefined ? undefined : due + Math.round(keeps * 1000),
    cause: event,
    by,
  };
}

/** @throws `refused`, naming the field */
export function checkFilter({ status, after, before, order, limit = 100 }: TaskFilter): void {
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > 1000) refuse("limit", "a whole number, 1 to 1000", limit);
  if (after !== undefined) timeOf("after", after);
  if (before !== undefined) timeOf("before", before);
  if (order !== undefined && order !== "newest" && order !== "oldest") refuse("order", "newest or oldest", order);
  for (const one of [status ?? []].flat()) {
    if (!TASK_STATUSES.includes(one)) refuse("status", TASK_STATUSES.join(", "), one);
  }
}

function checkLabel(field: string, text: string): void {
  const isGood = typeof text === "string" && text.length >= 1 && text.length <= 200 && !/[\p{Cc}\p{Cs}]/u.test(text);
  if (!isGood) refuse(field, "1 to 200 characters, no control characters", text);
}

function secondsOf(field: string, duration: Duration | undefined): number | undefined {
  if (duration === undefined) return undefined;
  try {
    return toSeconds(duration);
  } catch (error) {
    throw new MillraceError("refused", `${field}: ${(error as Error).message}`);
  }
}

function timeOf(field: string, text: string): number {
  const time = Date.parse(text);
  if (Number.isNaN(time)) refuse(field, "a time in ISO 8601, such as 2026-01-31T08:00:00Z", text);
  return time;
}

function refuse(field: string, allowed: string, given: unknown): never {
  throw new MillraceError("refused", `${field}: must be ${allowed}, got ${JSON.stringify(given)}`);
}
