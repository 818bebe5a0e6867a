import type { Package, Setting } from "./engine.ts";

/** A cloud whose stacks the engine deploys: a line for each cloud. */
export interface EngineCase {
  readonly config: Readonly<Record<string, Setting>>;
  /** A function's code as an object of its own, by the end of its type. */
  readonly code: string;
  /** A function, by the end of its type. */
  readonly function: string;
  /** What is there when a stack is destroyed, by the end of its type and its id without hashes, in the alphabet's order. */
  readonly keeps: Readonly<Record<"videos" | "tasks" | "parts", readonly string[]>>;
}

export const MATRIX: Readonly<Partial<Record<Package, EngineCase>>> = {
  alicloud: {
    config: { "millrace:region": "cn-hangzhou", "millrace:contactGroups": '["operators"]' },
    code: "BucketObject",
    function: "V3Function",
    keeps: {
      videos: [
        "Bucket videos-outputs",
        "Bucket videos-uploads",
        "Instance tables",
        "Table tables:alicloud_cn_hangzhou_tasks",
      ],
      tasks: ["Instance tables", "Table tables:alicloud_cn_hangzhou_tasks"],
      parts: ["Bucket parts-kept", "Instance tables", "Table tables:parts_kept_rows"],
    },
  },
};
