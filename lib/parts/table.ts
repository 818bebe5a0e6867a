import type { PartNames } from "./part.ts";
import type { TablePlan } from "./plan.ts";
import type { Units } from "./units.ts";

/** A table of rows by partition and sort key, with conditional puts and expiry. */
export interface TableSpec {
  /** Whether destroying the stack may delete the table with all in it. @default it is kept */
  readonly removable?: boolean;
  /** A table you have already, by its physical name. @default a new one is made */
  readonly existing?: string;
}

const OPTIONS = { removable: true, existing: true } satisfies Readonly<Record<keyof TableSpec, true>>;

export function tablePlan(names: PartNames, spec: TableSpec, units: Units): TablePlan {
  units.options(spec, OPTIONS);
  const { removable = false, existing } = spec;
  return { kind: "table", ...names, removable, ...(existing !== undefined && { existing }) };
}
