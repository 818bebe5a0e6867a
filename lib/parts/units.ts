import { type Duration, toSeconds } from "../shared/duration.ts";
import { type Problem, unknownOptions } from "../shared/problem.ts";
import { type Size, toBytes } from "../shared/size.ts";

/** Turns what a user wrote into the plan's numbers; what cannot be read, or is no option, becomes a problem of its field. */
export class Units {
  readonly #part: string;
  readonly #problems: Problem[];

  /**
   * @param part the part's name, which begins every path
   * @param problems where problems are gathered
   */
  constructor(part: string, problems: Problem[]) {
    this.#part = part;
    this.#problems = problems;
  }

  /** The seconds given, or the fallback if nothing, or nothing readable, was given. */
  seconds(field: string, given: Duration | undefined, fallback: number): number;
  seconds(field: string, given: Duration | undefined): number | undefined;
  seconds(field: string, given: Duration | undefined, fallback?: number): number | undefined {
    return this.#read(field, given, toSeconds) ?? fallback;
  }

  /** The bytes given, or the fallback if nothing, or nothing readable, was given. */
  bytes(field: string, given: Size | undefined, fallback: number): number {
    return this.#read(field, given, toBytes) ?? fallback;
  }

  /** What is read of the text given; nothing if nothing, or nothing readable, was given. */
  text(field: string, given: string | undefined, read: (given: string) => string): string | undefined {
    return this.#read(field, given, read);
  }

  /** A field that is none of the options: misspelt, it would be ignored in silence. */
  options(given: object, options: Readonly<Record<string, true>>, field?: string): void {
    const path = field === undefined ? this.#part : `${this.#part}.${field}`;
    this.#problems.push(...unknownOptions(path, given, options));
  }

  /** A field that does nothing without another one would be ignored in silence too. */
  needs<Spec extends object>(given: Spec, field: keyof Spec & string, other: keyof Spec & string): void {
    if (given[field] === undefined || given[other] !== undefined) return;
    this.#problems.push({
      path: `${this.#part}.${field}`,
      message: `does nothing without ${other}`,
      given: given[field],
    });
  }

  #read<Given, Value>(field: string, given: Given | undefined, read: (given: Given) => Value): Value | undefined {
    if (given === undefined) return undefined;
    try {
      return read(given);
    } catch (error) {
      this.#problems.push({ path: `${this.#part}.${field}`, message: (error as Error).message });
      return undefined;
    }
  }
}
