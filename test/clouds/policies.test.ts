import { describe, expect, it } from "vitest";
import { allows, Guard, type PolicyDocument } from "./policies.ts";

const allow = (Action: readonly string[], ...Resource: readonly string[]) => ({ Effect: "Allow", Action, Resource });
const policy = (...Statement: PolicyDocument["Statement"]): PolicyDocument => ({ Statement });
const reads = allow(["oss:GetObject"], "acs:oss:*:*:media/in/*");

describe("a policy", () => {
  it.each([
    ["oss:GetObject", "acs:oss:cn-hangzhou:1:media/in/a/b", true],
    ["OSS:getobject", "acs:oss:cn-hangzhou:1:media/in/a", true],
    ["oss:GetObjectAcl", "acs:oss:cn-hangzhou:1:media/in/a", false],
    ["oss:PutObject", "acs:oss:cn-hangzhou:1:media/in/a", false],
    ["oss:GetObject", "acs:oss:cn-hangzhou:1:media/out/a", false],
    ["oss:GetObject", "acs:oss:cn-hangzhou:1:mediaXin/a", false],
  ])("%s on %s: %s", (action, resource, isAllowed) => {
    expect(allows(policy(reads), { action, resource })).toBe(isAllowed);
  });

  it("a `?` is one character, and a dot is a dot", () => {
    const document = policy(allow(["kms:Get"], "secret:a.b-??"));
    expect(allows(document, { action: "kms:Get", resource: "secret:a.b-12" })).toBe(true);
    expect(allows(document, { action: "kms:Get", resource: "secret:a.b-123" })).toBe(false);
    expect(allows(document, { action: "kms:Get", resource: "secret:aXb-12" })).toBe(false);
  });

  it("what is denied is denied, and what holds on a condition is not taken for granted", () => {
    const asked = { action: "oss:GetObject", resource: "acs:oss:cn-hangzhou:1:media/in/a" };
    expect(allows(policy(reads, { ...reads, Effect: "Deny" }), asked)).toBe(false);
    expect(allows(policy({ ...reads, Condition: { StringEquals: { "acs:Tag": "x" } } }), asked)).toBe(false);
  });

  it("a guard remembers who asked what, and who has no policy may do nothing", () => {
    const guard = new Guard({ reader: policy(reads) });
    const asked = { action: "oss:GetObject", resource: "acs:oss:cn-hangzhou:1:media/in/a" };
    expect([guard.allows("reader", asked), guard.allows("stranger", asked)]).toEqual([true, false]);
    expect(guard.usedBy("reader")).toEqual(["oss:GetObject"]);
    expect(guard.refused).toEqual([`stranger: oss:GetObject ${asked.resource}`]);
  });
});
