import { type Command, InvalidArgumentError, Option } from "commander";
import type { CloudKind } from "../parts/plan.ts";
import { type Duration, toDuration, toSeconds } from "../shared/duration.ts";

/** Where `millrace dev` keeps the local cloud, unless told otherwise. */
export const DEFAULT_FOLDER = ".millrace";

/** The clouds whose limits a plan can be held against. */
export const CLOUD_KINDS = ["local", "alicloud", "aws", "kubernetes"] as const satisfies readonly CloudKind[];

export interface CommonOptions {
  readonly folder: string;
  readonly stack?: string;
  readonly json?: true;
}

/** The options of every verb that speaks with a running system: the local cloud, or a deployed stack. */
export const withCloud = (command: Command): Command =>
  withJson(
    command
      .option("--folder <folder>", "the local cloud's folder", DEFAULT_FOLDER)
      .option("--stack <stack>", "a deployed stack instead: its name, or a file of its outputs in JSON"),
  );

export const withJson = (command: Command): Command => command.option("--json", "answer in JSON, for programs");

/** Lines under "Examples:" at the end of a verb's help. */
export const withExamples = (command: Command, ...examples: readonly string[]): Command =>
  command.addHelpText("after", `\nExamples:\n${examples.map((example) => `  ${example}`).join("\n")}`);

const UNITS: Readonly<Record<string, string>> = { s: "seconds", m: "minutes", min: "minutes", h: "hours", d: "days" };

/** `90s`, `15m`, `1h`, `7d`, or as in programs: `"15 minutes"`. */
export function parseDuration(given: string): Duration {
  const [, amount, unit] = /^(\d+(?:\.\d+)?) ?(s|m|min|h|d)$/.exec(given) ?? [];
  const written = (amount && unit ? `${amount} ${UNITS[unit]}` : given) as Duration;
  try {
    return toDuration(toSeconds(written));
  } catch {
    throw new InvalidArgumentError(`A time is a number and a unit, such as 90s, 15m, 1h or 7d.`);
  }
}

/** Local time unless a zone is named; ISO 8601 comes out. */
export function parseTime(given: string): string {
  // A date alone would be taken as UTC. https://tc39.es/ecma262/#sec-date-time-string-format
  const time = new Date(/^\d{4}-\d\d-\d\d$/.test(given) ? `${given}T00:00` : given);
  if (!/^\d{4}-/.test(given) || Number.isNaN(time.getTime())) {
    throw new InvalidArgumentError('A time is written like "2026-11-21", "2026-11-21 08:15" or 2026-11-21T08:15:00Z.');
  }
  return time.toISOString();
}

/** A whole number between two bounds. */
export const parseWhole =
  (least: number, most: number) =>
  (given: string): number => {
    const number = Number(given);
    if (given.trim() === "" || !Number.isInteger(number) || number < least || number > most)
      throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
    return number;
  };

/** `--tag kind=video --tag size=4k`: gathers pairs. */
export function parsePair(given: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  const at = given.indexOf("=");
  if (at < 1) throw new InvalidArgumentError("It is written name=value.");
  return { ...before, [given.slice(0, at)]: given.slice(at + 1) };
}

/** An option whose value is one of these. */
export const oneOf = (flags: string, description: string, choices: readonly string[]): Option =>
  new Option(flags, description).choices([...choices]);

/** An option that may be given several times, or once with commas, each value one of these. */
export const someOf = <Choice extends string>(flags: string, description: string, choices: readonly Choice[]): Option =>
  new Option(flags, `${description} (${choices.join(", ")}; several with commas)`).argParser(
    (given: string, before: readonly Choice[] = []): readonly Choice[] => {
      const words = given.split(",");
      const wrong = words.find((word) => !choices.includes(word as Choice));
      if (wrong !== undefined) throw new InvalidArgumentError(`"${wrong}" is none of ${choices.join(", ")}.`);
      return [...before, ...(words as Choice[])];
    },
  );
