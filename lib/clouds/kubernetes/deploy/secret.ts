import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { SecretPlan } from "../../../parts/plan.ts";
import { OBJECT_NAME } from "./names.ts";
import type { Site } from "./shared.ts";

/** The key of a Secret under which its value lies. */
const VALUE = "value";

/**
 * A Secret, which is a file of the functions that are linked to it: one there is, or a value of Pulumi's encrypted
 * configuration.
 *
 * @see https://kubernetes.io/docs/concepts/configuration/secret/
 */
export function secret(site: Site, scope: Scope, plan: SecretPlan): Built {
  const { name } = secretKey(scope, plan);
  const resources =
    plan.existing !== undefined
      ? {}
      : {
          secret: site.make(
            kubernetes.core.v1.Secret,
            scope.name,
            {
              metadata: site.metadata(name, scope.name),
              type: "Opaque",
              stringData: { [VALUE]: new pulumi.Config().requireSecret(plan.config!) },
            },
            scope.options,
          ),
        };
  return {
    id: pulumi.output(name),
    address: { path: pulumi.output(secretPath(scope, plan)) },
    resources,
  };
}

/** Where its value lies in the pods that mount it. */
export const secretPath = (scope: Scope, plan: SecretPlan): string => `${folderOf(scope, plan)}/${VALUE}`;

/** The Secret as it appears in a pod: one file. */
export function secretMount(scope: Scope, plan: SecretPlan, index: number) {
  const { name: secretName, key } = secretKey(scope, plan);
  const name = `secret-${index}`;
  return {
    volume: { name, secret: { secretName, items: [{ key, path: VALUE }], defaultMode: 0o440 } },
    mount: { name, mountPath: folderOf(scope, plan), readOnly: true },
  };
}

/** `existing` is the Secret's name, and its key after a slash where that is not `value`. */
export function secretKey(
  scope: Scope,
  { name, existing }: SecretPlan,
): { readonly name: string; readonly key: string } {
  if (existing === undefined) return { name: scope.physicalName(OBJECT_NAME, name), key: VALUE };
  const [secret = existing, key = VALUE] = existing.split("/");
  return { name: secret, key };
}

const folderOf = (scope: Scope, { name }: SecretPlan): string =>
  `/millrace/secrets/${scope.physicalName(OBJECT_NAME, name)}`;
