import type { AttemptCall } from "../../../runtime/tasks/attempt.ts";
import type { AttemptRef } from "../../../runtime/tasks/ids.ts";

/**
 * What a keeper is asked to do. An `inspect` has the header of a call that waits, and is
 * answered there with an `AttemptState`.
 */
export type KeeperMessage =
  | { readonly millrace: "start"; readonly attempt: AttemptCall }
  | { readonly millrace: "stop"; readonly attempt: AttemptRef; readonly grace: number }
  | { readonly millrace: "inspect"; readonly attempt: AttemptRef }
  | { readonly millrace: "wake" };
