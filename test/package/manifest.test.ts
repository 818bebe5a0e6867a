import { existsSync, globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ROOT } from "./package.ts";

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly exports: Readonly<Record<string, string | { readonly types: string; readonly default: string }>>;
  readonly typesVersions: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>;
  readonly allowScripts: Readonly<Record<string, boolean>>;
}
interface Locked {
  readonly hasInstallScript?: true;
  readonly engines?: { readonly node?: string };
  readonly resolved?: string;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const readJson = <Content>(name: string): Content => JSON.parse(readFileSync(join(ROOT, name), "utf8")) as Content;
const manifest = readJson<Manifest>("package.json");
const locked = readJson<{ packages: Readonly<Record<string, Locked>> }>("package-lock.json").packages;

describe("package.json", () => {
  test("depends on what the library imports, and on nothing else", () => {
    const imported = globSync("lib/**/*.ts", { cwd: ROOT }).flatMap((path) =>
      packagesIn(readFileSync(join(ROOT, path), "utf8")),
    );
    const { dependencies, peerDependencies, peerDependenciesMeta = {} } = manifest;
    const declared = [...Object.keys(dependencies), ...Object.keys(peerDependencies)];
    expect(imported.filter((name) => !declared.includes(name))).toEqual([]);
    // A cloud's own packages cost nobody anything who does not choose that cloud.
    const installed = declared.filter((name) => !peerDependenciesMeta[name]?.optional);
    expect(installed.filter((name) => !imported.includes(name))).toEqual([]);
  });

  test("exports modules that there are, for older TypeScript as well", () => {
    const modules = Object.entries(manifest.exports).flatMap(([path, target]) =>
      typeof target === "string" ? [] : [{ path, ...target }],
    );
    const missing = modules.filter(({ default: file }) => !existsSync(join(ROOT, sourceOf(file))));
    expect(missing).toEqual([]);
    const older = Object.entries(manifest.typesVersions["*"]!).map(([path, [types]]) => [`./${path}`, types]);
    expect(Object.fromEntries(older)).toEqual(
      Object.fromEntries(modules.filter(({ path }) => path !== ".").map(({ path, types }) => [path, types])),
    );
  });

  test("says of every install script whether npm 12 may run it", () => {
    const scripts = Object.entries(locked).flatMap(([path, { hasInstallScript }]) =>
      hasInstallScript ? [path.replace(/^.*node_modules\//, "")] : [],
    );
    expect(scripts).toContain("node");
    expect(scripts.filter((name) => !(name in manifest.allowScripts))).toEqual([]);
  });

  test("has dependencies that run on the oldest Node it takes", () => {
    const refusing = Object.keys(manifest.dependencies).filter((name) => {
      const { engines } = locked[`node_modules/${name}`]!;
      return engines?.node !== undefined && !runsOn20(engines.node);
    });
    expect(refusing).toEqual([]);
  });

  test("has a whole lock file: npm 11 and 12 refuse one that lacks packages of other kinds of machine", () => {
    const optional = Object.values(locked).flatMap(({ optionalDependencies = {} }) =>
      Object.keys(optionalDependencies),
    );
    expect(optional.length).toBeGreaterThan(10);
    expect(
      optional.filter((name) => !Object.keys(locked).some((path) => path.endsWith(`node_modules/${name}`))),
    ).toEqual([]);
  });

  test("names no registry", () => {
    expect(Object.entries(locked).filter(([, { resolved }]) => resolved !== undefined)).toEqual([]);
  });
});

/** The packages whose modules a source imports. */
const packagesIn = (source: string): readonly string[] =>
  [
    ...source.matchAll(
      /^(?:import|export)\b[^"';]*?from "([^".][^"]*)";|\bimport\("([^".][^"]*)"\)|^import "([^".][^"]*)";/gm,
    ),
  ]
    .map(([, from, dynamic, bare]) => (from ?? dynamic ?? bare)!)
    .filter((specifier) => !specifier.startsWith("node:"))
    .map((specifier) =>
      specifier
        .split("/")
        .slice(0, specifier.startsWith("@") ? 2 : 1)
        .join("/"),
    );

const sourceOf = (built: string): string => built.replace(/^\.\/dist\//, "lib/").replace(/\.js$/, ".ts");

/** Ranges such as `>=18`, `^20.17.0 || >=22.9.0`, `10.* || >= 12.*`. */
const runsOn20 = (range: string): boolean =>
  range.split("||").some((part) => {
    const [, sign, major] = /^\s*(>=|\^|~)?\s*v?(\d+)/.exec(part) ?? [];
    return sign === ">=" ? Number(major) <= 20 : Number(major) === 20;
  });
