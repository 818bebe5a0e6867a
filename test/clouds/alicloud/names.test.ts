import { expect, it } from "vitest";
import type { AlicloudSettings } from "../../../lib/clouds/alicloud/index.ts";
import { type Cloud, Construct, code } from "../../../lib/parts/index.ts";
import { ACCOUNT, deploy } from "./stack.ts";

const echo = code<{ handler: (event: unknown, context: unknown) => Promise<unknown> }>(
  new URL("./functions/echo.ts", import.meta.url),
);

class Store extends Construct {
  constructor(cloud: Cloud) {
    super("Store", "store", { cloud });
    this.bucket("files");
    this.table("rows");
    this.function("echo", { handler: echo } as never);
    this.build();
  }
}

const namesIn = async (settings: Partial<AlicloudSettings>) => {
  const resources = await deploy((cloud) => void new Store(cloud), settings);
  const of = (type: string, field: string) =>
    resources.filter((one) => one.type.endsWith(`:${type}`)).map(({ inputs }) => String(inputs[field]));
  return [...of("Bucket", "bucket"), ...of("Project", "projectName"), ...of("Instance", "name")];
};

it("are another account's nowhere where the whole world shares them, whether the settings name the account or not", async () => {
  const named = await namesIn({ account: ACCOUNT });
  expect(named).toHaveLength(4);
  expect(await namesIn({ account: undefined } as never)).toEqual(named);
  const other = await namesIn({ account: "1111111111111111" });
  expect(other.filter((name) => named.includes(name))).toEqual([]);
});
