/** One thing that is wrong with what the user wrote: where, what was given, what is allowed. */
export interface Problem {
  /** The construct or part and its field: `videos.formats[0].height`. */
  readonly path: string;
  /** What must hold, in the user's words. */
  readonly message: string;
  readonly given?: unknown;
  readonly allowed?: string;
}

/** Everything that is wrong, in one error. */
export class ProblemsError extends Error {
  override readonly name = "ProblemsError";
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(
      [`${problems.length} ${problems.length === 1 ? "problem" : "problems"}`, ...problems.map(formatProblem)].join(
        "\n  ",
      ),
    );
    this.problems = problems;
  }
}

/** A problem on one line: `videos.timeout: … (given "2 days"; allowed: up to 24 hours)`. */
export function formatProblem({ path, message, given, allowed }: Problem): string {
  const facts = [given !== undefined && `given ${JSON.stringify(given)}`, allowed && `allowed: ${allowed}`].filter(
    Boolean,
  );
  return `${path}: ${message}${facts.length > 0 ? ` (${facts.join("; ")})` : ""}`;
}

/** A problem for every field that is none of the options. */
export const unknownOptions = (
  path: string,
  given: object,
  options: Readonly<Record<string, true>>,
): readonly Problem[] =>
  Object.keys(given)
    .filter((field) => !Object.hasOwn(options, field))
    .map((field) => ({ path: `${path}.${field}`, message: "there is no such option" }));

/** The problem, unless what is wanted holds. */
export const unless = (holds: boolean, problem: Problem): readonly Problem[] => (holds ? [] : [problem]);

/** What is wrong with a number that has to be whole, and within these bounds. */
export const whole = (path: string, given: number, least: number, most: number): readonly Problem[] =>
  unless(Number.isSafeInteger(given) && given >= least && given <= most, {
    path,
    message: "a whole number is wanted",
    given,
    allowed: most === Number.MAX_SAFE_INTEGER ? `${least} or more` : `${least} to ${most}`,
  });

/** What two have found, each thing once: where both object to the same value, in the words of the second. */
export const together = (first: readonly Problem[], second: readonly Problem[]): readonly Problem[] => {
  const keyOf = ({ path, given }: Problem) => JSON.stringify([path, given]);
  const known = new Set(second.map(keyOf));
  return [...first.filter((problem) => !known.has(keyOf(problem))), ...second];
};

/** Throws every problem at once, or does nothing. */
export function refuse(problems: readonly Problem[]): void {
  if (problems.length > 0) throw new ProblemsError(problems);
}
