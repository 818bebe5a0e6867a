import { globSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, test } from "vitest";

/** What the files of one layer may import. Layers import themselves and Node's own modules freely. */
interface Rule {
  /** Layers, in words: `own` is the same cloud. */
  readonly imports: readonly string[];
  /** Layers of which types may be imported besides: nothing of them is loaded. */
  readonly types?: readonly string[];
  readonly packages?: readonly string[];
  /** Loads no Pulumi, by whatever it imports. */
  readonly isLight?: true;
}

const CLOUD_PULUMI = ["@pulumi/pulumi", "@pulumi/alicloud", "@pulumi/aws", "@pulumi/kubernetes"];
const PUBLIC = ["index", "runtime index", "client", "testing", "a cloud"];

const RULES: Readonly<Record<string, Rule>> = {
  shared: { imports: [], packages: ["zod"], isLight: true },
  runtime: { imports: ["shared"], isLight: true },
  "runtime index": { imports: ["runtime", "shared"], isLight: true },
  // What speaks with Kafka is the same on every cloud.
  kafka: { imports: ["runtime", "shared"], packages: ["@platformatic/kafka"], isLight: true },
  handlers: {
    imports: ["runtime", "shared"],
    packages: ["zod", "jsonata", "@duckdb/node-api", "hyparquet", "hyparquet-writer", "redis", "ioredis"],
    isLight: true,
  },
  parts: { imports: ["shared"], types: ["runtime", "handlers"], packages: ["@pulumi/pulumi"] },
  constructs: { imports: ["parts", "shared"], types: ["runtime", "handlers", "@pulumi/pulumi"] },
  bootstrap: { imports: [], isLight: true },
  bundle: {
    imports: ["shared", "runtime"],
    types: ["parts", "bootstrap"],
    packages: ["esbuild", "fflate"],
    isLight: true,
  },
  support: { imports: [], types: ["parts"], isLight: true },
  "own env": { imports: ["shared"], types: ["parts", "runtime"], isLight: true },
  "own deploy": {
    imports: ["parts", "shared", "bundle", "own env"],
    types: ["runtime", "own runtime"],
    packages: CLOUD_PULUMI,
  },
  "own runtime": {
    imports: ["runtime", "shared", "own env", "kafka"],
    packages: ["tablestore", "@rgrove/parse-xml", "@aws-sdk", "@nats-io"],
    isLight: true,
  },
  "own host": {
    imports: ["runtime", "kafka", "shared", "parts", "bundle", "support", "own runtime", "own env"],
    packages: ["croner", "chokidar", "zod"],
    isLight: true,
  },
  "own client": {
    imports: ["runtime", "kafka", "shared", "own env", "own runtime"],
    types: ["parts", "own host"],
    isLight: true,
  },
  "own dev": {
    imports: ["own host", "own client", "own env", "support", "bundle", "program", "parts", "runtime", "shared"],
    packages: ["chokidar"],
  },
  "a cloud": { imports: ["parts", "shared", "support", "own deploy"], packages: CLOUD_PULUMI },
  client: {
    imports: ["runtime", "runtime index", "kafka", "shared", "a cloud's client"],
    types: ["a cloud's host", "parts"],
    isLight: true,
  },
  program: {
    imports: ["parts", "shared", "runtime", "bundle", "support"],
    packages: ["@pulumi/pulumi", "esbuild", "yaml"],
  },
  index: { imports: ["constructs", "parts", "shared", "runtime"] },
  stacks: { imports: PUBLIC, types: ["examples"], packages: CLOUD_PULUMI },
  examples: { imports: PUBLIC, packages: [...CLOUD_PULUMI, "zod"] },
};

/** The command line, the demo and what users test with bring everything together. */
const FREE = ["cli", "testing", "demo"];

interface Place {
  readonly layer: string;
  readonly cloud?: string;
}

/** Speaks with stores of several clouds: of any cloud's runtime. */
const S3 = "lib/clouds/aws/runtime/s3.ts";

function placeOf(file: string): Place {
  if (/^examples\/[^/]+\/demo\.ts$/.test(file)) return { layer: "demo" };
  if (!file.startsWith("lib/")) return { layer: file.split("/")[0]! };
  if (/^lib\/clouds\/(\w+\/)?support\.ts$/.test(file)) return { layer: "support" };
  const [, cloud, rest = ""] = /^lib\/clouds\/(\w+)\/(.*)$/.exec(file) ?? [];
  if (cloud) return { layer: layerInCloud(rest), cloud };
  if (file === "lib/runtime/index.ts") return { layer: "runtime index" };
  if (file.startsWith("lib/runtime/kafka/")) return { layer: "kafka" };
  return { layer: file === "lib/index.ts" ? "index" : file.split("/")[1]! };
}

function layerInCloud(rest: string): string {
  if (rest === "index.ts") return "a cloud";
  if (rest === "endpoint.ts") return "own env";
  return `own ${rest.split("/")[0]!.replace(/\.ts$/, "")}`;
}

interface Import {
  readonly specifier: string;
  readonly isType: boolean;
}

/** Every import, export from, `import()` and `typeof import()` of a file. `import { type A }` still loads its module. */
function importsOf(file: string, source: string): readonly Import[] {
  const found: Import[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
      found.push({
        specifier: node.moduleSpecifier.text,
        isType: node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword,
      });
    } else if (ts.isExportDeclaration(node) && node.moduleSpecifier && ts.isStringLiteral(node.moduleSpecifier)) {
      found.push({ specifier: node.moduleSpecifier.text, isType: node.isTypeOnly });
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const [specifier] = node.arguments;
      if (specifier && ts.isStringLiteral(specifier)) found.push({ specifier: specifier.text, isType: false });
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      found.push({ specifier: (node.argument.literal as ts.StringLiteral).text, isType: true });
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(file, source, ts.ScriptTarget.Latest));
  return found;
}

type Files = ReadonlyMap<string, string>;

/** Everything against the rules: file, import, rule. */
function violations(files: Files): readonly string[] {
  const imports = new Map([...files].map(([file, source]) => [file, importsOf(file, source)]));
  return [...imports].flatMap(([file, list]) => [
    ...list.flatMap((one) => violation(file, one)),
    ...(isLight(file) ? heavyPath(file, imports) : []),
  ]);
}

const isLight = (file: string): boolean => RULES[placeOf(file).layer]?.isLight === true;

function violation(file: string, { specifier, isType }: Import): readonly string[] {
  if (specifier.startsWith("node:")) return [];
  const from = placeOf(file);
  if (FREE.includes(from.layer)) return [];
  const rule = RULES[from.layer];
  if (!rule) return [`${file}: no rule says what the layer "${from.layer}" may import`];
  const target = specifier.startsWith(".") ? targetOf(file, specifier, from) : packageOf(specifier);
  const isSame = target === from.layer;
  const allowed = [...rule.imports, ...(rule.packages ?? []), ...(isType ? (rule.types ?? []) : [])];
  if (isSame || allowed.includes(target)) return [];
  const wanted = `${from.layer} may import ${listText([...rule.imports, ...(rule.packages ?? [])])}`;
  const types = rule.types ? `, and types of ${listText(rule.types)}` : "";
  return [`${file} imports ${isType ? "types of " : ""}${specifier} (${target}): ${wanted}${types}`];
}

const listText = (names: readonly string[]): string => (names.length === 0 ? "nothing of lib" : names.join(", "));

/** The layer of a relative import, as the rules say it; another cloud's is never `own`. */
function targetOf(file: string, specifier: string, from: Place): string {
  const path = join(dirname(file), specifier);
  const to = placeOf(path);
  if (path === S3 && from.layer === "own runtime") return from.layer;
  if (to.cloud === undefined || to.cloud === from.cloud) return to.layer;
  return from.cloud === undefined ? to.layer.replace(/^own /, "a cloud's ") : `${to.layer} of ${to.cloud}`;
}

/** Scopes whose packages are one library in parts. */
const FAMILIES = ["@aws-sdk", "@nats-io"];

function packageOf(specifier: string): string {
  const [scope = "", name] = specifier.split("/");
  return scope.startsWith("@") && !FAMILIES.includes(scope) ? `${scope}/${name}` : scope;
}

/** The way from a light file to Pulumi, over what is loaded; the shortest one. */
function heavyPath(start: string, imports: ReadonlyMap<string, readonly Import[]>): readonly string[] {
  const ways: string[][] = [[start]];
  const seen = new Set([start]);
  for (const way of ways) {
    const file = way.at(-1)!;
    for (const { specifier, isType } of imports.get(file) ?? []) {
      if (isType) continue;
      if (specifier.startsWith("@pulumi/")) {
        return [`${[...way, specifier].join(" imports ")}: ${placeOf(start).layer} loads no Pulumi`];
      }
      const next = specifier.startsWith(".") ? join(dirname(file), specifier) : undefined;
      if (next === undefined || seen.has(next)) continue;
      seen.add(next);
      ways.push([...way, next]);
    }
  }
  return [];
}

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const project: Files = new Map(
  globSync("{lib,stacks,examples}/**/*.ts", { cwd: ROOT, exclude: ["**/node_modules/**"] }).map((file) => [
    relative(".", file),
    readFileSync(join(ROOT, file), "utf8"),
  ]),
);

test("every file imports what its layer may import", () => {
  expect(project.size).toBeGreaterThan(50);
  expect(violations(project)).toEqual([]);
});

test("every layer has files, so that no rule outlives its folder", () => {
  const layers = new Set([...project.keys()].map((file) => placeOf(file).layer));
  expect(Object.keys(RULES).filter((layer) => !layers.has(layer))).toEqual([]);
});

describe("a planted violation is found, with file, import and rule", () => {
  const planted = (file: string, source: string, others: Record<string, string> = {}) =>
    violations(new Map(Object.entries({ ...others, [file]: source })));

  test.each([
    [
      "lib/shared/a.ts",
      'import { read } from "../parts/link.ts";',
      "lib/shared/a.ts imports ../parts/link.ts (parts): shared may import zod",
    ],
    [
      "lib/runtime/a.ts",
      'export * from "../handlers/tasks/dispatch.ts";',
      "lib/runtime/a.ts imports ../handlers/tasks/dispatch.ts (handlers): runtime may import shared",
    ],
    [
      "lib/handlers/video/a.ts",
      'import type { Plan } from "../../parts/plan.ts";',
      "lib/handlers/video/a.ts imports types of ../../parts/plan.ts (parts): handlers may import runtime, shared, zod, jsonata, @duckdb/node-api, hyparquet, hyparquet-writer, redis, ioredis",
    ],
    [
      "lib/parts/a.ts",
      'import { type Handler } from "../runtime/handler.ts";',
      "lib/parts/a.ts imports ../runtime/handler.ts (runtime): parts may import shared, @pulumi/pulumi, and types of runtime, handlers",
    ],
    [
      "lib/constructs/a.ts",
      'const cloud = await import("../clouds/local/index.ts");',
      "lib/constructs/a.ts imports ../clouds/local/index.ts (a cloud): constructs may import parts, shared, and types of runtime, handlers, @pulumi/pulumi",
    ],
    [
      "lib/clouds/aws/runtime/a.ts",
      'type Names = typeof import("../deploy/queue.ts");',
      "lib/clouds/aws/runtime/a.ts imports types of ../deploy/queue.ts (own deploy): own runtime may import runtime, shared, own env, kafka, tablestore, @rgrove/parse-xml, @aws-sdk, @nats-io",
    ],
    [
      "lib/clouds/aws/deploy/a.ts",
      'import { names } from "../../alicloud/endpoint.ts";',
      "lib/clouds/aws/deploy/a.ts imports ../../alicloud/endpoint.ts (own env of alicloud): own deploy may import parts, shared, bundle, own env, @pulumi/pulumi, @pulumi/alicloud, @pulumi/aws, @pulumi/kubernetes, and types of runtime, own runtime",
    ],
    [
      "lib/clouds/local/host/a.ts",
      'import express from "express";',
      "lib/clouds/local/host/a.ts imports express (express): own host may import runtime, kafka, shared, parts, bundle, support, own runtime, own env, croner, chokidar, zod",
    ],
    [
      "stacks/a.ts",
      'import { Cloud } from "../lib/parts/cloud.ts";',
      "stacks/a.ts imports ../lib/parts/cloud.ts (parts): stacks may import index, runtime index, client, testing, a cloud, @pulumi/pulumi, @pulumi/alicloud, @pulumi/aws, @pulumi/kubernetes, and types of examples",
    ],
    [
      "lib/elsewhere/a.ts",
      'import "../shared/name.ts";',
      'lib/elsewhere/a.ts: no rule says what the layer "elsewhere" may import',
    ],
  ])("%s: %s", (file, source, message) => {
    expect(planted(file, source)).toEqual([message]);
  });

  test("Pulumi behind three imports", () => {
    expect(
      planted("lib/clouds/local/host/a.ts", 'import { code } from "../../../parts/index.ts";', {
        "lib/parts/index.ts": 'export { Cloud } from "./cloud.ts";',
        "lib/parts/cloud.ts": 'import * as pulumi from "@pulumi/pulumi";',
      }),
    ).toEqual([
      "lib/clouds/local/host/a.ts imports lib/parts/index.ts imports lib/parts/cloud.ts imports @pulumi/pulumi: own host loads no Pulumi",
    ]);
  });

  test("what is allowed is not found", () => {
    expect(planted("lib/parts/a.ts", 'import type { Handler } from "../runtime/handler.ts";')).toEqual([]);
    expect(planted("lib/client/a.ts", 'import { join } from "../clouds/aws/client.ts";')).toEqual([]);
    expect(
      planted("lib/clouds/local/host/a.ts", 'import type { Cloud } from "../../../parts/cloud.ts";', {
        "lib/parts/cloud.ts": 'import * as pulumi from "@pulumi/pulumi";',
      }),
    ).toEqual([]);
  });
});
