import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { VolumePlan } from "../../../parts/plan.ts";
import { dataOptions } from "../../../parts/site.ts";
import { toMegabytes } from "../../../shared/size.ts";
import { OBJECT_NAME } from "./names.ts";
import type { Site } from "./shared.ts";

/**
 * A claim of a volume that many pods write to at once.
 *
 * @see https://kubernetes.io/docs/concepts/storage/persistent-volumes/#access-modes
 */
export function volume(site: Site, scope: Scope, plan: VolumePlan): Built {
  const name = claimName(scope, plan);
  const { storageClass, volumeSize = "100 GB" } = site.settings;
  const resources =
    plan.existing !== undefined
      ? {}
      : {
          claim: site.make(
            kubernetes.core.v1.PersistentVolumeClaim,
            scope.name,
            {
              // A class may make volumes only when somebody mounts them: nobody is to wait for that.
              metadata: site.metadata(name, scope.name, { annotations: { "pulumi.com/skipAwait": "true" } }),
              spec: {
                accessModes: ["ReadWriteMany"],
                ...(storageClass !== undefined && { storageClassName: storageClass }),
                resources: { requests: { storage: `${Math.ceil(toMegabytes(volumeSize))}Mi` } },
              },
            },
            dataOptions(scope, plan.removable),
          ),
        };
  return { id: pulumi.output(name), address: { path: pulumi.output(folderOf(scope, plan)) }, resources };
}

/** The volume as it appears in a pod. */
export function volumeMount(scope: Scope, plan: VolumePlan, index: number, readOnly: boolean) {
  const name = `volume-${index}`;
  return {
    volume: { name, persistentVolumeClaim: { claimName: claimName(scope, plan), ...(readOnly && { readOnly }) } },
    mount: { name, mountPath: folderOf(scope, plan), ...(readOnly && { readOnly }) },
  };
}

const claimName = (scope: Scope, { name, existing }: VolumePlan): string =>
  existing ?? scope.physicalName(OBJECT_NAME, name);

const folderOf = (scope: Scope, { name }: VolumePlan): string =>
  `/millrace/volumes/${scope.physicalName(OBJECT_NAME, name)}`;
