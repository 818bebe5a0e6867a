import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { SecretPlan } from "../../../parts/plan.ts";
import type { NameRule } from "../../../shared/name.ts";
import type { Site } from "./shared.ts";

/** https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html */
export const SECRET_NAME: NameRule = { max: 200, allowed: /[A-Za-z0-9/_+=.@-]/ };

/**
 * A secret of Secrets Manager: one there is, by its ARN or name, or a value of Pulumi's encrypted configuration put there.
 *
 * @see https://docs.aws.amazon.com/secretsmanager/latest/userguide/whats-in-a-secret.html
 */
export function secret(site: Site, scope: Scope, { existing, config }: SecretPlan): Built {
  const built = (arn: pulumi.Output<string>, address: pulumi.Output<string>, resources: Built["resources"]): Built => ({
    id: arn,
    address: { secret: address, region: pulumi.output(site.region) },
    resources,
  });
  if (existing !== undefined) {
    const arn = existing.startsWith("arn:") ? pulumi.output(existing) : arnOf(site, existing);
    return built(arn, pulumi.output(existing), {});
  }
  // It is a copy: kept for recovery, its name would be taken, and the stack that was destroyed could not come back.
  const made = site.make(
    aws.secretsmanager.Secret,
    scope.name,
    { name: scope.physicalName(SECRET_NAME), recoveryWindowInDays: 0, tags: site.tags(scope.name) },
    scope.options,
  );
  const version = site.make(
    aws.secretsmanager.SecretVersion,
    `${scope.name}-value`,
    { secretId: made.id, secretString: new pulumi.Config().requireSecret(config!) },
    scope.options,
  );
  // Whoever reads it waits for its value.
  const arn = pulumi.all([made.arn, version.id]).apply(([arn]) => arn);
  return built(arn, arn, { secret: made, version });
}

/**
 * What permissions know a secret by of which only the name is told: six characters come after it.
 *
 * @see https://docs.aws.amazon.com/secretsmanager/latest/userguide/auth-and-access_iam-policies.html
 */
const arnOf = (site: Site, name: string): pulumi.Output<string> => site.arn("secretsmanager", `secret:${name}-??????`);
