import * as aws from "@pulumi/aws";
import type * as pulumi from "@pulumi/pulumi";
import type { Site } from "./shared.ts";

/** What a bucket is made with. */
interface PrivateBucket {
  /** Its physical name. */
  readonly bucket: pulumi.Input<string>;
  /** Whose tag it has. */
  readonly part: string;
  /** Days after which objects are removed. @default they are kept */
  readonly expires?: number;
  readonly versioned?: boolean;
  /** Whether deleting the bucket deletes what is in it. */
  readonly forceDestroy: boolean;
}

/**
 * A bucket that nobody outside reaches: encrypted, and without what is left of uploads. What guards it is kept whenever
 * the bucket itself is.
 *
 * @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/security-best-practices.html
 */
export function privateBucket(site: Site, name: string, wanted: PrivateBucket, options: pulumi.CustomResourceOptions) {
  const { bucket: physical, part, expires, versioned = false, forceDestroy } = wanted;
  const made = site.make(aws.s3.Bucket, name, { bucket: physical, forceDestroy, tags: site.tags(part) }, options);
  const { bucket } = made;
  const access = site.make(
    aws.s3.BucketPublicAccessBlock,
    `${name}-access`,
    { bucket, blockPublicAcls: true, blockPublicPolicy: true, ignorePublicAcls: true, restrictPublicBuckets: true },
    options,
  );
  const encryption = site.make(
    aws.s3.BucketServerSideEncryptionConfiguration,
    `${name}-encryption`,
    { bucket, rules: [{ applyServerSideEncryptionByDefault: { sseAlgorithm: "AES256" } }] },
    options,
  );
  const versioning = versioned
    ? site.make(
        aws.s3.BucketVersioning,
        `${name}-versioning`,
        { bucket, versioningConfiguration: { status: "Enabled" } },
        options,
      )
    : undefined;
  const lifecycle = site.make(
    aws.s3.BucketLifecycleConfiguration,
    `${name}-lifecycle`,
    {
      bucket,
      rules: [ABORT_UPLOADS, ...(expires === undefined ? [] : [expireAfter(expires, versioned)])],
    },
    { ...options, ...(versioning && { dependsOn: [versioning] }) },
  );
  return { bucket: made, access, encryption, lifecycle, ...(versioning && { versioning }) };
}

/** Every object. */
const ALL = { prefix: "" };

/** Parts of uploads that never came to their end cost as objects do. */
const ABORT_UPLOADS = {
  id: "abort-incomplete-uploads",
  status: "Enabled",
  filter: ALL,
  abortIncompleteMultipartUpload: { daysAfterInitiation: 1 },
};

/** What expires in a bucket with versions becomes an old one: that is removed as long after, or it would cost for ever. */
const expireAfter = (days: number, versioned: boolean) => ({
  id: "expire",
  status: "Enabled",
  filter: ALL,
  expiration: { days },
  ...(versioned && { noncurrentVersionExpiration: { noncurrentDays: days } }),
});
