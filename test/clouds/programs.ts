import { AsyncTask } from "../../lib/constructs/async-task.ts";
import type { Cloud } from "../../lib/parts/cloud.ts";
import { code, type ImageOptions, image, type ProgramOptions, python } from "../../lib/parts/index.ts";
import type { Duration } from "../../lib/shared/duration.ts";
import type { Frame, Score } from "../local/programs/scores.ts";

export const REFERENCE = `registry.example.com/score@sha256:${"0".repeat(64)}`;

const handler = code<typeof import("../local/programs/scores.ts")>(
  new URL("../local/programs/scores.ts", import.meta.url),
);

const scoring = (options: ImageOptions) => image<(frame: Frame) => Promise<Score>>(REFERENCE, options);
const cleaning = (options: ProgramOptions) =>
  python<(rows: readonly string[]) => Promise<readonly string[]>>(
    new URL("./operators/", import.meta.url),
    "clean:rows",
    options,
  );

/** A task whose handler calls an image, and a Python function where it is asked for. */
export const scores = (
  cloud: Cloud,
  options: ImageOptions,
  { clean, ...args }: { readonly timeout?: Duration; readonly clean?: ProgramOptions } = {},
) =>
  new AsyncTask("scores", {
    cloud,
    handler,
    ...args,
    code: { score: scoring(options), ...(clean && { clean: cleaning(clean) }) },
  });

/** A task whose handler calls a Python function. */
export const cleaned = (cloud: Cloud, options: ProgramOptions = {}) =>
  new AsyncTask("cleaned", {
    cloud,
    handler: handler as never,
    code: { clean: cleaning(options) },
  } as never);
