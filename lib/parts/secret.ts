import type { PartNames } from "./part.ts";
import type { SecretPlan } from "./plan.ts";

/** A secret: from a Pulumi config value, or one the cloud keeps already. */
export type SecretSpec =
  | { /** The key of an encrypted config value: `pulumi config set --secret <key>`. */ readonly config: string }
  | { /** A secret you have already, by its physical name. */ readonly existing: string };

export const secretPlan = (names: PartNames, spec: SecretSpec): SecretPlan => ({ kind: "secret", ...names, ...spec });
