import { createHash } from "node:crypto";
import * as alicloud from "@pulumi/alicloud";
import * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { SecretPlan } from "../../../parts/plan.ts";
import type { NameRule } from "../../../shared/name.ts";
import type { Site } from "./shared.ts";

/** https://www.alibabacloud.com/help/en/kms/key-management-service/developer-reference/api-createsecret */
const SECRET_NAME: NameRule = { max: 64, allowed: /[A-Za-z0-9_/+=.@-]/ };

/**
 * A secret of Key Management Service: one there is, or a value of Pulumi's encrypted configuration put into the
 * user's KMS instance.
 *
 * @see https://www.alibabacloud.com/help/en/kms/key-management-service/user-guide/manage-generic-secrets
 */
export function secret(site: Site, scope: Scope, { existing, config }: SecretPlan): Built {
  const built = (name: pulumi.Output<string>, resources: Built["resources"]): Built => ({
    id: name,
    address: { secret: name, region: pulumi.output(site.region) },
    resources,
  });
  if (existing !== undefined) return built(pulumi.output(existing), {});
  const { kmsInstance } = site.settings;
  const value = new pulumi.Config().requireSecret(config!);
  const secretName = scope.physicalName(SECRET_NAME);
  const made = site.make(
    alicloud.kms.Secret,
    scope.name,
    {
      secretName,
      secretData: value,
      // Another value is another version; the name of one tells nothing of the value.
      versionId: value.apply((text) =>
        createHash("sha256").update(`${secretName}\0${text}`).digest("hex").slice(0, 32),
      ),
      ...(kmsInstance && { dkmsInstanceId: kmsInstance.id, encryptionKeyId: kmsInstance.key }),
      recoveryWindowInDays: 7,
      tags: site.tags(scope.name),
    },
    scope.options,
  );
  return built(made.secretName, { secret: made });
}
