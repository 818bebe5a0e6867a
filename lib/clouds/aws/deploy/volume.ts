import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { VolumePlan } from "../../../parts/plan.ts";
import { dataOptions } from "../../../parts/site.ts";
import type { NameRule } from "../../../shared/name.ts";
import type { MountedVolume, Site } from "./shared.ts";

/** https://docs.aws.amazon.com/efs/latest/ug/API_CreateFileSystem.html */
const TOKEN: NameRule = { max: 64, allowed: /[A-Za-z0-9-]/ };

/** Who writes, whoever they are elsewhere: functions and containers see the same files. */
const OWNER = { uid: 1000, gid: 1000 };

/** What an existing volume is called. */
export const EXISTING_VOLUME = /^(fs-[0-9a-f]+)\/(fsap-[0-9a-f]+)$/;

/** Where a function finds it: Lambda takes folders below `/mnt` alone. https://docs.aws.amazon.com/lambda/latest/dg/configuration-filesystem-efs.html */
export const mountPath = (part: string): string => `/mnt/${part.replace(/[^A-Za-z0-9_.-]/g, "-")}`;

/**
 * A file system of EFS with one access point, in the region's network; only who has the permission can mount it.
 *
 * @see https://docs.aws.amazon.com/efs/latest/ug/efs-access-points.html
 */
export function volume(site: Site, scope: Scope, plan: VolumePlan): Built {
  const built = (volume: MountedVolume, resources: Built["resources"]): Built => {
    site.volumes.set(scope.name, volume);
    return {
      id: site.volumeArns(volume).accessPoint,
      address: { path: pulumi.output(mountPath(scope.name)) },
      resources,
    };
  };
  if (plan.existing !== undefined) return built(existing(plan.existing), {});
  const options = dataOptions(scope, plan.removable);
  const fileSystem = site.make(
    aws.efs.FileSystem,
    scope.name,
    {
      creationToken: scope.physicalName(TOKEN),
      encrypted: true,
      throughputMode: "elastic",
      tags: { ...site.tags(scope.name), Name: scope.name },
    },
    options,
  );
  const policy = site.make(
    aws.efs.FileSystemPolicy,
    `${scope.name}-policy`,
    { fileSystemId: fileSystem.id, policy: fileSystem.arn.apply(encryptedOnly) },
    options,
  );
  const { subnets, securityGroups } = site.network.volumes;
  // They go with the network that they are in; the files stay.
  const targets = subnets.map((subnetId, index) =>
    site.make(
      aws.efs.MountTarget,
      `${scope.name}-mount-${index + 1}`,
      { fileSystemId: fileSystem.id, subnetId, securityGroups: [...securityGroups] },
      scope.options,
    ),
  );
  const accessPoint = site.make(
    aws.efs.AccessPoint,
    `${scope.name}-access`,
    {
      fileSystemId: fileSystem.id,
      posixUser: OWNER,
      rootDirectory: {
        path: "/millrace",
        creationInfo: { ownerUid: OWNER.uid, ownerGid: OWNER.gid, permissions: "0750" },
      },
      tags: site.tags(scope.name),
    },
    options,
  );
  const mounted = { fileSystem: fileSystem.id, accessPoint: accessPoint.id, targets: [policy, ...targets] };
  return built(mounted, {
    fileSystem,
    policy,
    accessPoint,
    ...Object.fromEntries(targets.map((target, index) => [`mount-${index + 1}`, target])),
  });
}

/** `fs-…/fsap-…`. */
function existing(name: string): MountedVolume {
  const [, fileSystem = "", accessPoint = ""] = EXISTING_VOLUME.exec(name) ?? [];
  return {
    fileSystem: pulumi.output(fileSystem),
    accessPoint: pulumi.output(accessPoint),
    targets: [],
  };
}

/**
 * With a policy of its own, a file system is open to those alone whose roles allow it.
 *
 * @see https://docs.aws.amazon.com/efs/latest/ug/iam-access-control-nfs-efs.html
 */
const encryptedOnly = (arn: string): string =>
  JSON.stringify({
    Version: "2012-10-17",
    Statement: [
      {
        Effect: "Deny",
        Principal: { AWS: "*" },
        Action: [
          "elasticfilesystem:ClientMount",
          "elasticfilesystem:ClientWrite",
          "elasticfilesystem:ClientRootAccess",
        ],
        Resource: arn,
        Condition: { Bool: { "aws:SecureTransport": "false" } },
      },
    ],
  });
