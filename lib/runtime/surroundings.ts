import { type Clock, systemClock } from "./clock.ts";

/** What is around the process of a deployed function; a test has its own. */
export interface Surroundings {
  readonly variables: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  /** Takes a line of the log. */
  readonly write: (line: string) => void;
}

/** This process's own. */
export const SURROUNDINGS: Surroundings = {
  variables: process.env,
  clock: systemClock,
  write: (line) => void process.stdout.write(`${line}\n`),
};
