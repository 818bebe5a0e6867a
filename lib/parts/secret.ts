import type { PartNames } from "./part.ts";
import type { SecretPlan } from "./plan.ts";
import type { Units } from "./units.ts";

/** A secret: from a Pulumi config value, or one the cloud keeps already. */
export type SecretSpec =
  | { /** The key of an encrypted config value: `pulumi config set --secret <key>`. */ readonly config: string }
  | { /** A secret you have already, by its physical name. */ readonly existing: string };

const OPTIONS = { config: true, existing: true } as const;

export function secretPlan(names: PartNames, spec: SecretSpec, units: Units): SecretPlan {
  units.options(spec, OPTIONS);
  return { kind: "secret", ...names, ...spec };
}
