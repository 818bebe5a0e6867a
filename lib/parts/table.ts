import type { PartNames } from "./part.ts";
import type { TablePlan } from "./plan.ts";

/** A table of rows by partition and sort key, with conditional puts and expiry. */
export interface TableSpec {
  /** Whether destroying the stack may delete the table with all in it. @default it is kept */
  readonly removable?: boolean;
  /** A table you have already, by its physical name. @default a new one is made */
  readonly existing?: string;
}

export const tablePlan = (names: PartNames, { removable = false, existing }: TableSpec): TablePlan => ({
  kind: "table",
  ...names,
  removable,
  ...(existing !== undefined && { existing }),
});
