import { expect, test } from "vitest";
import { kindOfWords } from "../../../lib/runtime/tasks/platform-words.ts";

test.each([
  [
    "ECS.InvalidParameterException: Error retrieving subnet information: Rate exceeded (ErrorCode: Throttling)",
    "interrupted",
  ],
  ["AmazonECS.Unknown: Capacity is unavailable at this time. Please try again later", "interrupted"],
  ["Lambda.TooManyRequestsException: Rate Exceeded.", "interrupted"],
  ["States.Timeout", "timed-out"],
  ["Runtime.ExitError: signal: killed", "failed"],
])("what is said of an attempt: %s", (words, kind) => {
  expect(kindOfWords(words)).toBe(kind);
});
