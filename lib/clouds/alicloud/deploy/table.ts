import * as alicloud from "@pulumi/alicloud";
import * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { TablePlan } from "../../../parts/plan.ts";
import { dataOptions } from "../../../parts/site.ts";
import { type Site, TABLE_NAME, tableArgs } from "./shared.ts";

/**
 * A table of Tablestore, in the instance that all tables of the region share.
 *
 * @see https://www.alibabacloud.com/help/en/tablestore/product-overview/primary-keys-and-attributes
 */
export function table(site: Site, scope: Scope, { existing, removable }: TablePlan): Built {
  const built = (name: pulumi.Output<string>, resources: Built["resources"]): Built => ({
    id: name,
    address: { table: name, instance: site.tables, region: pulumi.output(site.region) },
    resources,
  });
  if (existing !== undefined) return built(pulumi.output(existing), {});
  const name = scope.physicalName(TABLE_NAME).replaceAll("-", "_");
  const made = site.make(alicloud.ots.Table, scope.name, tableArgs(site.tables, name), dataOptions(scope, removable));
  return built(made.tableName, { table: made });
}
