import { mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Plan, SecretPlan } from "../../lib/parts/plan.ts";
import { readConfig, secretValues, variableOf } from "../../lib/program/config.ts";
import { findProject } from "../../lib/program/project.ts";

let root: string;
beforeAll(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), "config-")));
});
afterAll(() => rm(root, { recursive: true, force: true }));

let count = 0;
async function folderOf(files: Readonly<Record<string, string>>): Promise<string> {
  count += 1;
  const folder = join(root, `p${count}`);
  for (const [path, content] of Object.entries({ "index.ts": "", ...files })) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
  return folder;
}

describe("findProject", () => {
  it.each([
    ["index.ts", {}, "index.ts"],
    ["main, a file", { "Pulumi.yaml": "name: x\nmain: src/app.ts", "src/app.ts": "" }, "src/app.ts"],
    ["main, a folder", { "Pulumi.yaml": "name: x\nmain: src/", "src/index.ts": "" }, "src/index.ts"],
    ["main of package.json", { "package.json": `{"main":"src/app.ts"}`, "src/app.ts": "" }, "src/app.ts"],
    ["not a main that is not there", { "package.json": `{"main":"bin/app.js"}` }, "index.ts"],
  ] as const)("runs %s", async (_, files, expected) => {
    const folder = await folderOf(files);
    expect(findProject(folder).program).toBe(join(folder, expected));
  });

  it("takes the name of Pulumi.yaml, else the folder's", async () => {
    expect(findProject(await folderOf({ "Pulumi.yaml": "name: media" })).name).toBe("media");
    const folder = await folderOf({ "my app/index.ts": "" });
    expect(findProject(join(folder, "my app")).name).toBe("my-app");
  });

  it("says which of two index files it takes, the one that Pulumi takes", async () => {
    const { program, warnings } = findProject(await folderOf({ "index.js": "" }));
    expect(program).toMatch(/index\.js$/);
    expect(warnings).toEqual(["index.js is run, as pulumi does; index.ts beside it is not"]);
  });

  it("refuses what is not there, and broken YAML, by name", async () => {
    const folder = await folderOf({ "empty/x": "", "wrong/Pulumi.yaml": "main: gone.ts", "bad/Pulumi.yaml": "a: [" });
    expect(() => findProject(join(folder, "none"))).toThrow(/there is no folder .*none/);
    expect(() => findProject(join(folder, "empty"))).toThrow(/no program in .*empty: index\.ts or index\.js, or main/);
    expect(() => findProject(join(folder, "wrong"))).toThrow(/main names "gone\.ts", which is not there/);
    expect(() => findProject(join(folder, "bad"))).toThrow(/bad\/Pulumi\.yaml: .*line 1/s);
    expect(() => findProject(folder, "other.ts")).toThrow(/there is no program .*other\.ts/);
  });
});

describe("readConfig", () => {
  const PROJECT = `name: my-app
config:
  size: 5
  my-app:region: { type: string, default: north }
  aws:region: { value: eu-west-1 }
  declared: { type: string }
`;
  const STACK = `config:
  my-app:region: south
  on: true
  shape: { a: [1, two] }
  my-app:dbPassword: { secure: v1:abc }
  login:
    user: me
    tokens: [{ secure: v1:def }]
`;
  const read = async (environment = {}, stack = "prod") =>
    readConfig({
      project: findProject(await folderOf({ "Pulumi.yaml": PROJECT, "Pulumi.prod.yaml": STACK })),
      stack,
      environment,
    });

  it("puts the stack's values over the project's defaults, all by full key, as text", async () => {
    const { values } = await read();
    expect(values).toEqual({
      "millrace:cloud": "local",
      "my-app:size": "5",
      "my-app:region": "south",
      "aws:region": "eu-west-1",
      "my-app:on": "true",
      "my-app:shape": '{"a":[1,"two"]}',
    });
    expect((await read({}, "dev")).values["my-app:region"]).toBe("north");
  });

  it("never opens encrypted values: they come from the environment, or are missing with a placeholder", async () => {
    const { values, secrets, missing } = await read({ MILLRACE_CONFIG_MY_APP_DB_PASSWORD: "s3cret" });
    expect(values["my-app:dbPassword"]).toBe("s3cret");
    expect(secrets).toEqual(["my-app:dbPassword", "my-app:login"]);
    expect(missing).toEqual([
      {
        key: "my-app:login",
        variable: "MILLRACE_CONFIG_MY_APP_LOGIN",
        placeholder: '{"user":"me","tokens":["(the value of my-app:login is encrypted)"]}',
      },
    ]);
  });

  it("finds the stack's file where Pulumi.yaml says", async () => {
    const folder = await folderOf({
      "Pulumi.yaml": "name: x\nstackConfigDir: conf",
      "conf/Pulumi.dev.yaml": "config:\n  x:a: b",
    });
    const { values, files } = readConfig({ project: findProject(folder), stack: "dev", environment: {} });
    expect(values["x:a"]).toBe("b");
    expect(files).toEqual([join(folder, "Pulumi.yaml"), join(folder, "conf", "Pulumi.dev.yaml")]);
  });

  it("refuses a stack name that is a path", async () => {
    await expect(read({}, "../prod")).rejects.toThrow(/stack: letters, digits.*got "\.\.\/prod"/);
  });

  it.each([
    ["my-app:dbPassword", "MILLRACE_CONFIG_MY_APP_DB_PASSWORD"],
    ["aws:secretKey2Use", "MILLRACE_CONFIG_AWS_SECRET_KEY2_USE"],
    ["x:a.b--c", "MILLRACE_CONFIG_X_A_B_C"],
  ])("names the variable of %s", (key, variable) => expect(variableOf(key)).toBe(variable));

  describe("secretValues", () => {
    const secret = (name: string, from: Partial<SecretPlan>): SecretPlan => ({
      kind: "secret",
      name,
      stem: name,
      construct: "c",
      cloud: "local",
      ...from,
    });
    const plan = (...parts: SecretPlan[]): Plan => ({
      version: 1,
      project: "my-app",
      stack: "prod",
      clouds: [],
      constructs: [],
      parts,
    });

    it("takes them from the stack's file and the environment, an existing one by its physical name", async () => {
      const environment = {
        MILLRACE_CONFIG_MY_APP_DB_PASSWORD: "s3cret",
        MILLRACE_CONFIG_MY_APP_TEAM_TOKEN: "t",
        MILLRACE_CONFIG_MY_APP_ABSENT: "a",
      };
      const parts = [
        secret("c-db", { config: "dbPassword" }),
        secret("c-region", { config: "my-app:region" }),
        secret("c-absent", { config: "absent" }),
        secret("c-token", { existing: "team-token" }),
      ];
      expect(secretValues(plan(...parts), await read(environment))).toEqual({
        "c-db": "s3cret",
        "c-region": "south",
        "c-absent": "a",
        "c-token": "t",
      });
    });

    it("asks for all that are missing at once, and for nothing that no part needs", async () => {
      const config = await read();
      expect(secretValues(plan(), config)).toEqual({});
      const parts = [secret("c-db", { config: "dbPassword" }), secret("c-absent", { config: "absent" })];
      expect(() => secretValues(plan(...parts), config)).toThrow(
        [
          "2 problems",
          "  c-db: my-app:dbPassword is encrypted in Pulumi.prod.yaml, which only Pulumi can open: set the environment variable MILLRACE_CONFIG_MY_APP_DB_PASSWORD to its value",
          "  c-absent: Pulumi.prod.yaml has no my-app:absent: set the environment variable MILLRACE_CONFIG_MY_APP_ABSENT to its value",
        ].join("\n"),
      );
    });
  });
});
