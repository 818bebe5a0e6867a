import { describe, test } from "vitest";
import { BAD_REQUESTS, BAD_UPLOADS, INPUTS, LONG_INPUT } from "../local/inputs.ts";
import { badInputs, goodInputs } from "../local/videos.ts";

describe("with a recent ffmpeg", () => {
  test("videos put into the bucket become one run each, with outputs that play", () =>
    goodInputs([...INPUTS, LONG_INPUT]));
  test("what cannot work is said, told once, and disturbs nothing else", () => badInputs(BAD_UPLOADS, BAD_REQUESTS));
});
