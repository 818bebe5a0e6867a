import * as alicloud from "@pulumi/alicloud";
import * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { BucketPlan } from "../../../parts/plan.ts";
import { dataOptions } from "../../../parts/site.ts";
import { abortUploads, BUCKET_NAME, type Site } from "./shared.ts";

/**
 * A bucket of Object Storage Service: private, which is what a bucket without an ACL of its own is.
 *
 * @see https://www.alibabacloud.com/help/en/oss/user-guide/acl
 */
export function bucket(site: Site, scope: Scope, plan: BucketPlan): Built {
  if (plan.existing !== undefined) return built(site, pulumi.output(plan.existing), {});
  const { expires, versioned, removable } = plan;
  const made = site.make(
    alicloud.oss.Bucket,
    scope.name,
    {
      bucket: site.worldName(scope.plan(scope.name).stem, BUCKET_NAME),
      serverSideEncryptionRule: { sseAlgorithm: "AES256" },
      lifecycleRules: [
        abortUploads(),
        ...(expires === undefined
          ? []
          : [{ id: "expire", enabled: true, prefix: "", expirations: [{ days: expires / 86_400 }] }]),
      ],
      ...(versioned && { versioning: { status: "Enabled" } }),
      ...(removable && { forceDestroy: true }),
      tags: site.tags(scope.name),
    },
    dataOptions(scope, removable),
  );
  // Made with a name, it has one.
  const name = made.bucket.apply((name) => name!);
  return built(site, name, { bucket: made });
}

const built = (site: Site, name: pulumi.Output<string>, resources: Built["resources"]): Built => ({
  id: name,
  address: { bucket: name, region: pulumi.output(site.region) },
  resources,
});
