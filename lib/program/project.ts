import { existsSync, readFileSync, statSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { parse } from "yaml";

/** A folder with a Pulumi program. */
export interface Project {
  readonly name: string;
  /** Absolute. */
  readonly folder: string;
  /** Absolute path of the program's first module. */
  readonly program: string;
  /** Absolute path of Pulumi.yaml, if there is one. */
  readonly file?: string;
  /** What Pulumi.yaml says of configuration. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Where the files of the stacks lie. */
  readonly configFolder: string;
  readonly warnings: readonly string[];
}

/** Read in this order, as Pulumi does. https://www.pulumi.com/docs/iac/concepts/projects/project-file/ */
const PROJECT_FILES = ["Pulumi.yaml", "Pulumi.yml"];
const INDEX_FILES = ["index.js", "index.mjs", "index.cjs", "index.ts", "index.mts", "index.cts"];

/**
 * The program of a folder: `main` of Pulumi.yaml, else `main` of package.json, else the index file; Pulumi's own order.
 *
 * @param program overrides all that.
 * @throws with the names that were looked for.
 */
export function findProject(folder: string, program?: string): Project {
  const root = resolve(folder);
  if (!existsSync(root) || !statSync(root).isDirectory()) throw new Error(`there is no folder ${root}`);
  const file = PROJECT_FILES.map((name) => join(root, name)).find(existsSync);
  const settings = file ? readYaml(file) : {};
  const { name, main, config, stackConfigDir } = settings;
  const first = program ? { file: resolve(root, program), warnings: [] } : findProgram(root, asText(main));
  return {
    name: asText(name) ?? (basename(root).replace(/[^A-Za-z0-9._-]+/g, "-") || "project"),
    folder: root,
    program: existing(first.file),
    ...(file && { file }),
    config: isRecord(config) ? config : {},
    configFolder: resolve(root, asText(stackConfigDir) ?? asText(config) ?? "."),
    warnings: first.warnings,
  };
}

interface Found {
  readonly file: string;
  readonly warnings: readonly string[];
}

function findProgram(root: string, main: string | undefined): Found {
  const start = resolve(root, main ?? ".");
  if (!existsSync(start)) throw new Error(`Pulumi.yaml: main names "${main}", which is not there (${start})`);
  if (!statSync(start).isDirectory()) return { file: start, warnings: [] };
  const named = packageMain(start);
  return named ? { file: named, warnings: [] } : indexOf(start);
}

function packageMain(folder: string): string | undefined {
  const file = join(folder, "package.json");
  if (!existsSync(file)) return undefined;
  const { main } = JSON.parse(readFileSync(file, "utf8")) as { main?: unknown };
  const named = typeof main === "string" ? resolve(folder, main) : undefined;
  return named && existsSync(named) && !statSync(named).isDirectory() ? named : undefined;
}

function indexOf(folder: string): Found {
  const [first, ...others] = INDEX_FILES.filter((name) => existsSync(join(folder, name)));
  if (!first) throw new Error(`there is no program in ${folder}: index.ts or index.js, or main in Pulumi.yaml`);
  const warnings = others.length > 0 ? [`${first} is run, as pulumi does; ${others.join(", ")} beside it is not`] : [];
  return { file: join(folder, first), warnings };
}

function existing(program: string): string {
  if (!existsSync(program)) throw new Error(`there is no program ${program}`);
  if (statSync(program).isDirectory()) return indexOf(program).file;
  return program;
}

/** A YAML file that holds a map. */
export function readYaml(file: string): Readonly<Record<string, unknown>> {
  const content = parseYaml(file);
  if (content === null || content === undefined) return {};
  if (!isRecord(content)) throw new Error(`${file}: a map of settings is wanted, got ${JSON.stringify(content)}`);
  return content;
}

function parseYaml(file: string): unknown {
  try {
    return parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new Error(`${file}: ${error instanceof Error ? error.message : error}`);
  }
}

export const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const asText = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);
