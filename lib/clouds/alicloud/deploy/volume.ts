import * as alicloud from "@pulumi/alicloud";
import * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { VolumePlan } from "../../../parts/plan.ts";
import type { NameRule } from "../../../shared/name.ts";
import { dataOptions, type Site } from "./shared.ts";

/** https://www.alibabacloud.com/help/en/nas/developer-reference/api-nas-2017-06-26-createaccessgroup */
const GROUP_NAME: NameRule = { max: 64, allowed: /[A-Za-z0-9-]/ };

/**
 * A file system of NAS with one mount target in the region's network, which only that network can reach.
 *
 * @see https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/configure-a-nas-file-system-1
 */
export function volume(site: Site, scope: Scope, { existing, removable }: VolumePlan): Built {
  const path = pulumi.output(`/mnt/${scope.name}`);
  if (existing !== undefined) {
    const domain = pulumi.output(existing);
    return { id: domain, address: { server: pulumi.interpolate`${domain}:/`, path }, resources: {} };
  }
  const { vpc, vswitch, cidr } = site.network;
  const options = dataOptions(scope, removable);
  const group = site.make(
    alicloud.nas.AccessGroup,
    `${scope.name}-access`,
    { accessGroupName: scope.physicalName(GROUP_NAME), accessGroupType: "Vpc", fileSystemType: "standard" },
    options,
  );
  const rule = site.make(
    alicloud.nas.AccessRule,
    `${scope.name}-access-rule`,
    {
      accessGroupName: group.accessGroupName,
      // Whoever is in the network: the mount target is in no other.
      sourceCidrIp: cidr ?? "0.0.0.0/0",
      rwAccessType: "RDWR",
      userAccessType: "no_squash",
      priority: 1,
      fileSystemType: "standard",
    },
    options,
  );
  const system = site.make(
    alicloud.nas.FileSystem,
    scope.name,
    {
      protocolType: "NFS",
      storageType: "Performance",
      fileSystemType: "standard",
      encryptType: 1,
      description: scope.name,
      tags: site.tags(scope.name),
    },
    options,
  );
  const target = site.make(
    alicloud.nas.MountTarget,
    `${scope.name}-mount`,
    {
      fileSystemId: system.id,
      accessGroupName: group.accessGroupName,
      networkType: "Vpc",
      vpcId: vpc,
      vswitchId: vswitch,
    },
    { ...options, dependsOn: [rule] },
  );
  return {
    id: system.id,
    address: { server: pulumi.interpolate`${target.mountTargetDomain}:/`, path },
    resources: { fileSystem: system, mountTarget: target, accessGroup: group, accessRule: rule },
  };
}
