import { isKeysLink } from "../shared/environment.ts";
import type { Problem } from "../shared/problem.ts";
import type { Cloud } from "./cloud.ts";
import type { Built, Part } from "./part.ts";
import type { FunctionPlan, LinkPlan } from "./plan.ts";

/** How functions of other clouds, regions and accounts reach a bucket of a cloud. */
export interface BucketReach {
  /** The module that speaks with it, by its absolute path; it takes keys. */
  readonly port: string;
  /** Where requests from outside go, as a URL. */
  readonly endpoint: string;
  /** Where the bucket lies, to those outside. */
  address(bucket: Part): Built["address"];
  /** Whether what the role of a function there is granted holds here too. */
  takesRolesOf(cloud: Cloud): boolean;
}

/** What is wrong with the links of a cloud's functions to parts of other clouds. */
export const checkReach = (cloud: Cloud, parts: readonly Part[]): readonly Problem[] =>
  parts
    .map(({ plan }) => plan)
    .filter((plan): plan is FunctionPlan => plan.kind === "function")
    .flatMap((plan) => Object.entries(plan.links).flatMap(([name, link]) => checkLink(cloud, plan, name, link)));

function checkLink(cloud: Cloud, { name }: FunctionPlan, linkName: string, link: LinkPlan): readonly Problem[] {
  const path = `${name}.links.${linkName}`;
  const keys = link.keys === undefined ? undefined : cloud.find(link.keys);
  if (keys && keys.cloud !== cloud) {
    return [
      { path, message: `keys lie in a secret of the function's own cloud, ${cloud.plan.name}`, given: keys.name },
    ];
  }
  const part = link.cloud === undefined ? undefined : cloud.find(link.part);
  // A secret of keys has been told of with the link that it is for; on this computer, all parts are in one place.
  if (!part || cloud.plan.kind === "local" || isKeysLink(linkName)) return [];
  const given = `${part.name} on ${part.cloud.plan.name}`;
  if (part.kind !== "bucket") {
    const message = `of another cloud, a function is linked to buckets alone, and this is a ${part.kind}`;
    return [{ path, message, given, allowed: `a bucket, or a ${part.kind} on ${cloud.plan.name}` }];
  }
  const { buckets } = part.cloud.driver;
  if (!buckets) return [{ path, message: "nobody elsewhere reaches the buckets of that cloud", given }];
  if (keys || buckets.takesRolesOf(cloud)) return [];
  return [
    {
      path,
      message: `the role of a function on ${cloud.plan.name} does not reach this bucket`,
      given,
      allowed: `keys to it, in a secret on ${cloud.plan.name}: read(bucket, { keys: secret })`,
    },
  ];
}
