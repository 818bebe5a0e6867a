import * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { FunctionPlan, LinkPlan, SourcePlan } from "../../../parts/plan.ts";
import { partOf } from "../../../parts/source.ts";
import type { LinkAddress } from "../../../runtime/deployment.ts";
import { OWN_TASK, topicKey, writeEnvironment } from "../../../shared/environment.ts";
import { portOf, runtimeFile } from "./code.ts";
import type { Site } from "./shared.ts";
import { ledgerName } from "./stream.ts";

/** What a function is linked to: who speaks with it, and where it lies. */
export type Links = Readonly<Record<string, { readonly port: string; readonly address: pulumi.Input<LinkAddress> }>>;

/** The links of a plan; a worker's own task beside them. */
export const linksOf = (scope: Scope, { links }: FunctionPlan, ownTask?: pulumi.Input<LinkAddress>): Links => ({
  ...Object.fromEntries(Object.entries(links).map(([name, link]) => [name, linkOf(scope, link)] as const)),
  ...(ownTask && { [OWN_TASK]: { port: runtimeFile("own-task"), address: ownTask } }),
});

/** What a function claims of a stream is kept under a name of its own. */
function linkOf(scope: Scope, link: LinkPlan): Links[string] {
  const { port, address } = scope.link(link, (part) => runtimeFile(portOf(part)));
  if (!link.actions.includes("stream.claim")) return { port, address };
  return { port, address: address.apply((fields) => ({ ...fields, group: ledgerName(scope) })) };
}

/** What a function's code is bundled with. */
export const portsOf = (links: Links): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(links).map(([name, { port }]) => [name, port]));

/** What a function finds in its environment. */
export function environmentOf(
  site: Site,
  scope: Scope,
  { environment }: Pick<FunctionPlan, "environment">,
  sources: readonly SourcePlan[],
  links: Links,
  tools: Readonly<Record<string, string>>,
): pulumi.Output<Record<string, string>> {
  const addresses = pulumi.output(
    Object.fromEntries(Object.entries(links).map(([name, { address }]) => [name, address])),
  );
  const known = [...new Set(sources.flatMap(startedBy))].map((name) =>
    physicalOf(scope, name).apply((physical) => [physical, name] as const),
  );
  return pulumi.all([site.account, addresses, pulumi.all(known)]).apply(([account, all, pairs]) => ({
    ...environment,
    ...writeEnvironment({
      place: { region: site.region, account },
      logLevel: "info",
      tools,
      sources: Object.fromEntries(pairs),
      links: all as Readonly<Record<string, LinkAddress>>,
    }),
  }));
}

const startedBy = (source: SourcePlan): readonly string[] => (source.type === "schedule.fired" ? [] : [partOf(source)]);

/** As events name it: by its name. */
function physicalOf(scope: Scope, part: string): pulumi.Output<string> {
  const { kind, id, address } = scope.part(part);
  if (kind === "stream") return id.apply(topicKey);
  return address.bucket ?? id.apply(nameIn);
}

/** The name at the end of an ARN. */
export const nameIn = (arn: string): string => arn.slice(arn.lastIndexOf(":") + 1);
