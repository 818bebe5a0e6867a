import * as alicloud from "@pulumi/alicloud";
import * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { VolumePlan } from "../../../parts/plan.ts";
import { dataOptions } from "../../../parts/site.ts";
import type { NameRule } from "../../../shared/name.ts";
import type { Site } from "./shared.ts";

/** https://www.alibabacloud.com/help/en/nas/developer-reference/api-nas-2017-06-26-createaccessgroup */
const GROUP_NAME: NameRule = { max: 64, allowed: /[A-Za-z0-9-]/ };

/**
 * A file system of NAS with a mount target in the region's network, which only that network can reach.
 *
 * @see https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/configure-a-nas-file-system-1
 */
export function volume(site: Site, scope: Scope, { existing, removable }: VolumePlan): Built {
  const path = pulumi.output(`/mnt/${scope.name}`);
  if (existing !== undefined) {
    const domain = pulumi.output(existing);
    return { id: domain, address: { server: pulumi.interpolate`${domain}:/`, path }, resources: {} };
  }
  const options = dataOptions(scope, removable);
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
  const { server, resources } = mountTarget(site, system.id, options, {
    name: scope.name,
    group: scope.physicalName(GROUP_NAME),
    access: "RDWR",
  });
  return { id: system.id, address: { server, path }, resources: { fileSystem: system, ...resources } };
}

/**
 * The server to mount a volume from that is not to be written to: a mount target of its own, which lets nobody write.
 *
 * @param scope of a function that mounts it
 */
export function readOnlyServer(site: Site, scope: Scope, volume: string): pulumi.Output<string> {
  const { id, built } = scope.part(volume);
  return site.readOnlyMount(volume, () => {
    const options = { ...site.shared, parent: built.resources.fileSystem! };
    const group = scope.physicalName(GROUP_NAME, volume, "read");
    return mountTarget(site, id, options, { name: `${volume}-read`, group, access: "RDONLY" }).server;
  });
}

/** A mount target in the region's network and who may do what through it: whoever is in the network. */
function mountTarget(
  site: Site,
  fileSystemId: pulumi.Output<string>,
  options: pulumi.CustomResourceOptions,
  { name, group: accessGroupName, access }: { name: string; group: string; access: "RDWR" | "RDONLY" },
) {
  const { vpc, vswitch, cidr } = site.network;
  const group = site.make(
    alicloud.nas.AccessGroup,
    `${name}-access`,
    { accessGroupName, accessGroupType: "Vpc", fileSystemType: "standard" },
    options,
  );
  const rule = site.make(
    alicloud.nas.AccessRule,
    `${name}-access-rule`,
    {
      accessGroupName: group.accessGroupName,
      // The mount target is in no other network.
      sourceCidrIp: cidr ?? "0.0.0.0/0",
      rwAccessType: access,
      userAccessType: "no_squash",
      priority: 1,
      fileSystemType: "standard",
    },
    options,
  );
  const target = site.make(
    alicloud.nas.MountTarget,
    `${name}-mount`,
    {
      fileSystemId,
      accessGroupName: group.accessGroupName,
      networkType: "Vpc",
      vpcId: vpc,
      vswitchId: vswitch,
    },
    { ...options, dependsOn: [rule] },
  );
  return {
    server: pulumi.interpolate`${target.mountTargetDomain}:/`,
    resources: { mountTarget: target, accessGroup: group, accessRule: rule },
  };
}
