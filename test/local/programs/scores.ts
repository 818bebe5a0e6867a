import type { FunctionInvoked } from "../../../lib/runtime/events.ts";
import type { Handler } from "../../../lib/runtime/handler.ts";

export interface Frame {
  readonly pixels: readonly number[];
}
export interface Score {
  readonly sum: number;
  /** The process that counted. */
  readonly by: number;
}

/** Hands its payload to a program, and answers what that says. */
export const handler: Handler<
  FunctionInvoked<Frame>,
  unknown,
  unknown,
  Score,
  { readonly score: (frame: Frame) => Promise<Score> }
> = ({ payload }, { code }) => code.score(payload);
