import type { StreamRecord } from "../../runtime/events.ts";

/** A file that says which application a record belongs to; nothing, and what it throws on, is `unknown`. */
export interface ApplicationModule {
  readonly application: (record: StreamRecord) => string | undefined;
}
