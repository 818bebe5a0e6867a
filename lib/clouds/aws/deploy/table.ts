import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { TablePlan } from "../../../parts/plan.ts";
import { dataOptions } from "../../../parts/site.ts";
import { type Site, TABLE_NAME, tableArgs } from "./shared.ts";

/**
 * A table of DynamoDB, paid by the request.
 *
 * @see https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.CoreComponents.html
 */
export function table(site: Site, scope: Scope, { existing, removable }: TablePlan): Built {
  const built = (name: pulumi.Output<string>, resources: Built["resources"]): Built => ({
    id: site.arn("dynamodb", pulumi.interpolate`table/${name}`),
    address: { table: name, region: pulumi.output(site.region) },
    resources,
  });
  if (existing !== undefined) return built(pulumi.output(existing), {});
  const args = { ...tableArgs(scope.physicalName(TABLE_NAME)), tags: site.tags(scope.name) };
  const made = site.make(aws.dynamodb.Table, scope.name, args, dataOptions(scope, removable));
  return built(made.name, { table: made });
}
