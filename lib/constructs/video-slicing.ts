import type { CleanPayload } from "../handlers/video/slices/clean.ts";
import type { EncodePayload } from "../handlers/video/slices/encode.ts";
import type { FailPayload } from "../handlers/video/slices/fail.ts";
import type { PlanPayload, PlanResult, PlanSettings } from "../handlers/video/slices/plan.ts";
import type { SoundPayload } from "../handlers/video/slices/sound.ts";
import { type Flow, type FunctionPart, isAbove, type Ref, type TaskPart } from "../parts/index.ts";
import { type Duration, toSeconds } from "../shared/duration.ts";
import { type Problem, unknownOptions } from "../shared/problem.ts";
import { type Size, toBytes } from "../shared/size.ts";

/** How large videos are made in slices. */
export interface Slicing {
  /** Videos larger than this are made in slices. @default "1 GB" */
  readonly over?: Size;
  /** How long a slice should be. @default 20 seconds or more, by the video's length and the distance of its key frames */
  readonly length?: Duration;
  /** Most slices of one video, up to 1,000; they are as long as that needs. @default 40 */
  readonly atMost?: number;
  /** Longest time of one attempt at a slice. @default "15 minutes" */
  readonly timeout?: Duration;
}

/** How slices are made, with every default filled in. */
export interface SlicingPlan {
  /** Bytes: videos that have more are made in slices. */
  readonly over: number;
  readonly cut: PlanSettings["cut"];
  readonly timeout: Duration;
}

/** What is asked for, and all that is wrong with it. */
export function slicingOf(
  path: string,
  given: Slicing | "always" | "never" = "never",
): { readonly slicing?: SlicingPlan; readonly problems: readonly Problem[] } {
  if (given === "never") return { problems: [] };
  if (given !== "always" && (typeof given !== "object" || given === null)) {
    const message = "how large videos are made in slices is wanted";
    return { problems: [{ path, message, given, allowed: 'such as { over: "1 GB" }, or "always", or "never"' }] };
  }
  const options: Slicing = given === "always" ? {} : given;
  const { over = "1 GB", length, atMost = 40, timeout = "15 minutes" } = options;
  const problems = [...unknownOptions(path, options, OPTIONS)];
  const read = <Given>(field: keyof Slicing, value: Given, toNumber: (value: Given) => number): number => {
    try {
      return toNumber(value);
    } catch (error) {
      problems.push({ path: `${path}.${field}`, message: (error as Error).message });
      return 1;
    }
  };
  const bytes = read("over", over, toBytes);
  const seconds = length === undefined ? undefined : read("length", length, toSeconds);
  if (seconds !== undefined && seconds <= 0)
    problems.push({ path: `${path}.length`, message: "must be longer than zero", given: length });
  if (!Number.isInteger(atMost) || atMost < 1 || atMost > 1000)
    problems.push({
      path: `${path}.atMost`,
      message: "a whole number is wanted",
      given: atMost,
      allowed: "1 to 1,000",
    });
  const cut = { ...(seconds !== undefined && { length: seconds }), atMost };
  return { slicing: { over: given === "always" ? 0 : bytes, cut, timeout }, problems };
}

const OPTIONS = { over: true, length: true, atMost: true, timeout: true } satisfies Readonly<
  Record<keyof Slicing, true>
>;

/** What the dispatcher starts a run in slices with. */
export interface SlicedInput {
  /** Of this run, and of the task's. */
  readonly id: string;
  readonly payload: PlanPayload["payload"];
}

/** The functions that steps call. */
export interface SliceSteps {
  readonly plan: FunctionPart<PlanPayload, PlanResult>;
  readonly encode: FunctionPart<EncodePayload>;
  readonly sound: FunctionPart<SoundPayload>;
  readonly fail: FunctionPart<FailPayload>;
  readonly clean: FunctionPart<CleanPayload>;
}

/**
 * Slices and sound at once, then the run of the task: it joins them, or is told what they failed with. Nothing is left
 * in the work bucket, however that ends.
 */
export function slicedSteps(
  flow: Flow,
  { id, payload }: Ref<SlicedInput>,
  steps: SliceSteps,
  runs: TaskPart,
  atMost: number,
): Ref<unknown> {
  const run = { run: id };
  flow.parallel(
    "slices",
    { made: (made) => makeSlices(made, { id, payload }, steps, atMost) },
    {
      attempts: 1,
      catch: (failed, { kind, message }) => {
        failed.function("tell", steps.fail, { ...run, kind, message });
        return { made: {} };
      },
    },
  );
  const joined = flow.task(
    "join",
    runs,
    { id, input: payload },
    {
      attempts: 1,
      catch: (failed, { message }) => {
        failed.function("clean-failed", steps.clean, run);
        return failed.fail("failed", "failed", message);
      },
    },
  );
  flow.function("clean", steps.clean, run);
  return joined;
}

/** Nothing is encoded of what is not cut: the task makes it in one piece. */
function makeSlices(
  flow: Flow,
  { id: run, payload }: Pick<Ref<SlicedInput>, "id" | "payload">,
  { plan, encode, sound }: SliceSteps,
  atMost: number,
) {
  const planned = flow.function("plan", plan, { run, payload });
  const encoded = (all: Flow) => {
    all.parallel(
      "encode",
      {
        picture: (picture) => {
          picture.forEach(
            "each",
            planned.slices,
            (each, { index }) => {
              each.function("slice", encode, { run, index });
            },
            { atMost },
          );
          return {};
        },
        sound: (whole) => {
          whole.function("sound", sound, { run });
          return {};
        },
      },
      { attempts: 1 },
    );
    return {};
  };
  flow.choice("cut", [{ if: isAbove(planned.count, 0), do: encoded }], () => ({}));
  return {};
}
