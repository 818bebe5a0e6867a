import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { alicloud } from "../../../lib/clouds/alicloud/index.ts";
import { aws } from "../../../lib/clouds/aws/index.ts";
import { type Bucket, Construct, code, mount, read } from "../../../lib/parts/index.ts";
import type { Problem } from "../../../lib/shared/problem.ts";
import { Copier, Keys, Store } from "../copier.ts";
import { ACCOUNT, deploy, inputsOf } from "./stack.ts";

let home: string;
const before = process.cwd();
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "millrace-regions-"));
  process.chdir(home);
});
afterAll(async () => {
  process.chdir(before);
  await rm(home, { recursive: true, force: true });
});

interface Statement {
  readonly Action: readonly string[];
  readonly Resource: readonly string[];
}

test("a function reaches another region's bucket by its role, and another cloud's by keys alone", async () => {
  const resources = await deploy((cloud) => {
    const there = aws({ region: "us-west-2", account: ACCOUNT });
    new Copier("mover", {
      cloud,
      from: new Store("far", there, "far-files").files,
      to: new Store("oss", alicloud({ region: "cn-hangzhou" }), "their-files").files,
      keys: { to: new Keys("keys", cloud).first },
    });
  });
  const { variables } = inputsOf(resources, "Function", "mover-copy").environment;
  const links = Object.entries<string>(variables)
    .filter(([name]) => name.startsWith("MILLRACE_LINK_"))
    .map(([, value]) => JSON.parse(value));
  expect(links).toEqual([
    expect.objectContaining({ kind: "secret", part: "keys-first" }),
    { kind: "bucket", part: "far-files", bucket: "far-files", region: "us-west-2" },
    { kind: "bucket", part: "oss-files", bucket: "their-files", region: "cn-hangzhou", keys: "$keys.keys-first" },
  ]);
  const { Statement } = JSON.parse(inputsOf(resources, "RolePolicy", "mover-copy-role-policy").policy) as {
    readonly Statement: readonly Statement[];
  };
  const onBuckets = Statement.filter(({ Action }) => Action[0]!.startsWith("s3:"));
  expect(onBuckets.flatMap(({ Resource }) => Resource).sort()).toEqual([
    "arn:aws:s3:::far-files",
    "arn:aws:s3:::far-files/*",
  ]);
  expect(Statement.flatMap(({ Action }) => Action)).toContain("secretsmanager:GetSecretValue");
});

/** A function in a network, since it mounts a volume. */
class Mounting extends Construct {
  constructor(name: string, cloud: ConstructorParameters<typeof Copier>[1]["cloud"], files: Bucket) {
    super("Mounting", name, { cloud });
    const disk = this.volume("disk", { removable: true });
    this.function("work", {
      handler: code<{ readonly handler: (event: never, context: never) => Promise<void> }>("/app/work.ts"),
      links: { files: read(files), disk: mount(disk) },
    } as never);
    this.build();
  }
}

test("what no role and no network reaches is refused", async () => {
  const problems: Problem[] = [];
  const gather = (make: () => unknown) => {
    try {
      make();
    } catch (error) {
      problems.push(...(error as { readonly problems: readonly Problem[] }).problems);
    }
  };
  await deploy((cloud) => {
    // Accounts of China are others, whatever their number.
    const china = new Store("china", aws({ region: "cn-north-1", account: ACCOUNT }), "files-in-china").files;
    const far = new Store("far", aws({ region: "us-west-2", account: ACCOUNT }), "far-files").files;
    gather(() => new Copier("mover", { cloud, from: china, to: far }));
    gather(() => new Mounting("mounting", cloud, far));
  });
  expect(problems.map(({ path, given }) => `${path} ${given}`)).toEqual([
    "mover-copy.links.from china-files on aws-cn-north-1",
    "mounting-work.links far-files on aws-us-west-2",
  ]);
});
