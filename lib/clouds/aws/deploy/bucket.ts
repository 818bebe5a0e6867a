import * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { BucketPlan } from "../../../parts/plan.ts";
import { dataOptions } from "../../../parts/site.ts";
import { privateBucket } from "./private-bucket.ts";
import type { Site } from "./shared.ts";

/**
 * A bucket of S3: private and encrypted.
 *
 * @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html
 */
export function bucket(site: Site, scope: Scope, plan: BucketPlan): Built {
  if (plan.existing !== undefined) return built(site, pulumi.output(plan.existing), {});
  const { expires, versioned, removable } = plan;
  const made = privateBucket(
    site,
    scope.name,
    {
      bucket: site.bucketName(scope.plan(scope.name).stem),
      part: scope.name,
      versioned,
      forceDestroy: removable,
      ...(expires !== undefined && { expires: expires / 86_400 }),
    },
    dataOptions(scope, removable),
  );
  return built(site, made.bucket.bucket, made);
}

const built = (site: Site, name: pulumi.Output<string>, resources: Built["resources"]): Built => ({
  id: pulumi.interpolate`arn:${site.partition}:s3:::${name}`,
  address: { bucket: name, region: pulumi.output(site.region) },
  resources,
});
