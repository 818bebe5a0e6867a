import { publish } from "./nats.ts";
import { type Program, variable } from "./program.ts";

/** What a CronJob's pod is to publish: `MILLRACE_PUBLISH`, as JSON. */
export type Publishing = { readonly subject: string } & (
  | { /** Its logical name. */ readonly schedule: string }
  | { readonly listing: true }
);

/** What such a message says. */
export type TimedCall =
  | { readonly millrace: "schedule"; readonly schedule: string /** ISO 8601. */; readonly time: string }
  | { readonly millrace: "listing"; readonly time: string };

/** Publishes one call of a function; a pod that is tried again publishes the same one. */
export const handler: Program = async (world) => {
  const publishing = JSON.parse(variable(world, "MILLRACE_PUBLISH")) as Publishing;
  const time = new Date(dueTime(world.variables.MILLRACE_JOB, world.clock.now())).toISOString();
  const call: TimedCall =
    "schedule" in publishing
      ? { millrace: "schedule", schedule: publishing.schedule, time }
      : { millrace: "listing", time };
  const { subject } = publishing;
  const id = `${subject}/${"schedule" in call ? call.schedule : "listing"}/${time}`;
  await publish(world.nats, `call ${subject}`, { subject, body: JSON.stringify(call), id });
};

const MINUTE = 60_000;

/**
 * A CronJob names its Jobs by the minutes since 1970 they were due at, however late they start; one that somebody has
 * made by hand is due now.
 */
function dueTime(job: string | undefined, now: number): number {
  const [, minutes] = /-(\d{8,9})$/.exec(job ?? "") ?? [];
  return minutes === undefined ? Math.floor(now / MINUTE) * MINUTE : Number(minutes) * MINUTE;
}
