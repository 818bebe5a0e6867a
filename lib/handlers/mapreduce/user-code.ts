/** What a mapper and a reducer are told besides. */
export interface UserContext {
  /** The run's id. */
  readonly run: string;
  /** The object the record is in; empty to a combiner or reducer. */
  readonly object: string;
}

/** The pairs of one record; none is fine. A record it throws on is skipped or fails the run, as `skips` says. */
export type Mapper<Record = never, Value = unknown> = (
  record: Record,
  context: UserContext,
) => Iterable<readonly [key: string, value: Value]>;

/**
 * Makes one value of several of a key, early: what it makes goes to the reducer or to the combiner again, so any order
 * and grouping must come to the same.
 */
export type Combiner<Value = never> = (key: string, values: Iterable<Value>, context: UserContext) => unknown;

/**
 * What all values of a key come to: one value, or several from a generator; nothing from one that yields nothing, or
 * for `undefined`. The values come one at a time and may be gone through more than once; their order says nothing.
 */
export type Reducer<Value = never> = (key: string, values: Iterable<Value>, context: UserContext) => unknown;

/** A file with a mapper, a combiner or a reducer; one file may have all. */
export interface MapperModule {
  readonly mapper: Mapper;
}
export interface CombinerModule {
  readonly combiner: Combiner;
}
export interface ReducerModule {
  readonly reducer: Reducer;
}

/**
 * Programs get many at once. A mapper gets records and answers all their pairs; when it fails, the records are given
 * again in smaller groups until the one is found that is to blame.
 */
export type MapperProgram = (
  records: readonly unknown[],
) => Promise<readonly (readonly [key: string, value: unknown])[]>;
/** Combiner and reducer get keys with their values and answer one value for each key, in their order. */
export type GroupProgram = (
  groups: readonly (readonly [key: string, values: readonly unknown[]])[],
) => Promise<readonly unknown[]>;

/** Groups that a program takes at once, in characters of their JSON; platforms take up to 6 MB in one call. */
export const PROGRAM_BATCH = 2 ** 20;
export const PROGRAM_MOST = 4 * 2 ** 20;
