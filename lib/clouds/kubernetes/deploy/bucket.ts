import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { BucketPlan } from "../../../parts/plan.ts";
import { dataOptions } from "../../../parts/site.ts";
import { BUCKET_NAME } from "./names.ts";
import type { Site } from "./shared.ts";

/**
 * A bucket of the store: private, as long as nobody gives it another policy.
 *
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html
 */
export function bucket(site: Site, scope: Scope, plan: BucketPlan): Built {
  if (plan.existing !== undefined) return built(site, pulumi.output(plan.existing), {});
  const { expires, versioned, removable } = plan;
  const made = site.make(
    aws.s3.Bucket,
    scope.name,
    {
      bucket: scope.physicalName(BUCKET_NAME),
      ...(removable && { forceDestroy: true }),
      tags: site.tags(scope.name),
    },
    dataOptions(scope, removable),
  );
  const expiry = {
    id: "expire",
    status: "Enabled",
    filter: { prefix: "" },
    ...(expires !== undefined && { expiration: { days: expires / 86_400 } }),
  };
  // What belongs to a bucket stays with it.
  const options = dataOptions(scope, removable);
  const lifecycle = site.lifecycle(scope.name, made, expires === undefined ? [] : [expiry], options);
  const versioning =
    versioned &&
    site.make(
      aws.s3.BucketVersioning,
      `${scope.name}-versioning`,
      { bucket: made.bucket, versioningConfiguration: { status: "Enabled" } },
      options,
    );
  return built(site, made.bucket, { bucket: made, ...(lifecycle && { lifecycle }), ...(versioning && { versioning }) });
}

const built = (site: Site, name: pulumi.Output<string>, resources: Built["resources"]): Built => ({
  id: name,
  address: { bucket: name, endpoint: pulumi.output(site.endpoint), region: pulumi.output(site.region) },
  resources,
});
