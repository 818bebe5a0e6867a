import * as pulumi from "@pulumi/pulumi";
import { beforeEach, describe, expect, it } from "vitest";
import { typedMocks } from "../../lib/program/mocks.ts";

/** As a provider's SDK makes its classes: outputs are declared as undefined inputs. */
class Bucket extends pulumi.CustomResource {
  declare readonly arn: pulumi.Output<string>;
  declare readonly size: pulumi.Output<number>;
  declare readonly owner: pulumi.Output<string>;
  constructor(name: string, args: { size?: pulumi.Input<number> }, opts?: pulumi.CustomResourceOptions) {
    super("test:index:Bucket", name, { size: args.size, arn: undefined, owner: undefined }, opts);
  }
}
class Group extends pulumi.ComponentResource {
  constructor(opts: pulumi.ComponentResourceOptions) {
    super("test:index:Group", "group", {}, opts);
  }
}

const value = <Value>(output: pulumi.Output<Value>): Promise<Value> =>
  new Promise((resolve) => {
    output.apply(resolve);
  });

describe("typedMocks", () => {
  const made = () =>
    typedMocks({
      "test:index:Bucket": { id: (name) => `id-${name}`, outputs: (name) => ({ arn: `arn:${name}` }) },
      "test:index:Policy": { id: (name) => name, outputs: () => ({}) },
    });
  let typed: ReturnType<typeof made>;
  let parent: Group;
  beforeEach(async () => {
    typed = made();
    await pulumi.runtime.setMocks(typed.mocks, "project", "stack", false);
    parent = new Group({ transformations: [typed.watch] });
  });

  it("computes the outputs in the table, and keeps what was registered", async () => {
    const bucket = new Bucket("one", { size: 3 }, { parent });
    expect(await value(pulumi.all([bucket.id, bucket.arn, bucket.size]))).toEqual(["id-one", "arn:one", 3]);
    expect(typed.resources).toEqual([{ type: "test:index:Bucket", name: "one", inputs: { size: 3 } }]);
  });

  it("refuses a resource that takes in an output it does not know, however deep", async () => {
    const { owner } = new Bucket("one", {}, { parent });
    const document = await value(
      pulumi.jsonStringify({ Statement: [{ Principal: pulumi.interpolate`user/${owner}` }] }),
    );
    expect(() => register("test:index:Policy", { document })).toThrow(
      'mocks: test:index:Policy "x" takes in test:index:Bucket.owner, which is not in the table',
    );
  });

  it("refuses a type it does not know, and a call", () => {
    expect(() => register("test:index:Unknown", {})).toThrow(
      'there is no test:index:Unknown in the table (resource "x")',
    );
    expect(() => typed.mocks.call({ token: "test:index:getIt", inputs: {} })).toThrow(
      "nothing answers test:index:getIt",
    );
  });

  /** What Pulumi does for every resource; a throw there reaches the process, not the test. */
  const register = (type: string, inputs: object) => typed.mocks.newResource({ type, name: "x", inputs, custom: true });
});
