import { describe, test } from "vitest";
import { BAD_REQUESTS, BAD_UPLOADS, INPUTS } from "./inputs.ts";
import { badInputs, goodInputs } from "./videos.ts";

describe("videos put into the bucket", () => {
  test("each becomes one run, with outputs that play", () => goodInputs(INPUTS), 60_000);
});

describe("what cannot work", () => {
  test("is said, told once, and disturbs nothing else", () => badInputs(BAD_UPLOADS, BAD_REQUESTS), 60_000);
});
