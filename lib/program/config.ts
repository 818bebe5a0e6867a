import { existsSync } from "node:fs";
import { join } from "node:path";
import type { CloudKind, Plan, PlanOf } from "../parts/plan.ts";
import { isKeysLink } from "../shared/environment.ts";
import { type Problem, refuse } from "../shared/problem.ts";
import { isRecord, type Project, readYaml } from "./project.ts";

/** The configuration of one stack, as a program sees it. */
export interface StackConfig {
  readonly project: string;
  readonly stack: string;
  /** By full key, `project:key`; structured values as JSON. Encrypted ones are there if the environment has them. */
  readonly values: Readonly<Record<string, string>>;
  /** Full keys of values that are encrypted in the stack's file. */
  readonly secrets: readonly string[];
  /** Encrypted values that the environment does not have. */
  readonly missing: readonly MissingValue[];
  /** The files it was read from. */
  readonly files: readonly string[];
  readonly environment: Environment;
}

export interface MissingValue {
  readonly key: string;
  /** The environment variable that would give it. */
  readonly variable: string;
  /** What a program is given in its place: the same structure, the encrypted leaves replaced. */
  readonly placeholder: string;
}

export type Environment = Readonly<Record<string, string | undefined>>;

export interface ConfigArgs {
  readonly project: Project;
  readonly stack: string;
  /** Where the values of encrypted keys come from. */
  readonly environment: Environment;
  /** Overrides `millrace:cloud`. @default the stack's, and `local` where it has none */
  readonly cloud?: CloudKind;
  /** Values over the stack's own, by key. @default none */
  readonly over?: Readonly<Record<string, string>>;
}

/**
 * Reads `Pulumi.<stack>.yaml` over the defaults of `Pulumi.yaml`. Nothing is decrypted: an encrypted value comes from
 * its environment variable (see {@link variableOf}) or is `missing`.
 */
export function readConfig({ project, stack, environment, cloud, over = {} }: ConfigArgs): StackConfig {
  const file = stackFile(project, stack);
  const isThere = existsSync(file);
  const given = isThere ? readYaml(file).config : undefined;
  if (given !== undefined && given !== null && !isRecord(given)) throw new Error(`${file}: config is a map of keys`);
  const raw = new Map<string, unknown>([
    ["millrace:cloud", "local"],
    ...defaultsOf(project),
    ...Object.entries(given ?? {}).map(([key, value]) => [fullKey(project.name, key), value] as const),
    ...(cloud ? [["millrace:cloud", cloud] as const] : []),
    ...Object.entries(over).map(([key, value]) => [fullKey(project.name, key), value] as const),
  ]);
  const secrets = [...raw].filter(([, value]) => isEncrypted(value)).map(([key]) => key);
  const missing = secrets.filter((key) => environment[variableOf(key)] === undefined);
  return {
    project: project.name,
    stack,
    values: Object.fromEntries(
      [...raw]
        .filter(([key]) => !missing.includes(key))
        .map(([key, value]) => [key, secrets.includes(key) ? environment[variableOf(key)]! : toText(value)]),
    ),
    secrets,
    missing: missing.map((key) => ({
      key,
      variable: variableOf(key),
      placeholder: toText(withPlaceholders(key, raw.get(key))),
    })),
    files: [...(project.file ? [project.file] : []), ...(isThere ? [file] : [])],
    environment,
  };
}

/**
 * The environment variable of a config value: `MILLRACE_CONFIG_<PROJECT>_<KEY>`. Both are written in upper case; `_`
 * goes between a lower-case letter or digit and the upper-case letter after it, and stands for every run of other
 * characters: `my-app:dbPassword` is `MILLRACE_CONFIG_MY_APP_DB_PASSWORD`.
 */
export const variableOf = (key: string): string =>
  `MILLRACE_CONFIG_${key
    .replace(/([a-z0-9])([A-Z])/g, "$1_$2")
    .replace(/[^A-Za-z0-9]+/g, "_")
    .toUpperCase()}`;

/**
 * The values of the plan's secrets, by the name of the part: from the stack's file, or from the environment where it
 * is encrypted or absent there. The physical name of an existing secret serves as its key.
 *
 * @throws ProblemsError naming every variable that is to be set.
 */
export function secretValues(plan: Plan, config: StackConfig): Readonly<Record<string, string>> {
  const problems: Problem[] = [];
  const links = plan.parts.flatMap((part) => (part.kind === "function" ? Object.entries(part.links) : []));
  const used = (secret: string) => links.filter(([, link]) => link.part === secret);
  // Here a bucket of another cloud is one like others: nobody asks for the keys to it.
  const isForKeysAlone = (secret: string) =>
    used(secret).length > 0 && used(secret).every(([name]) => isKeysLink(name));
  const values = plan.parts
    .filter((part) => part.kind === "secret")
    .filter(({ name }) => !isForKeysAlone(name))
    .flatMap((part) => {
      const key = secretKey(part, config.project);
      const value = config.values[key] ?? config.environment[variableOf(key)];
      if (value === undefined) problems.push(missingSecret(part.name, key, config));
      return value === undefined ? [] : [[part.name, value] as const];
    });
  refuse(problems);
  return Object.fromEntries(values);
}

const secretKey = ({ name, config, existing }: PlanOf<"secret">, project: string): string =>
  fullKey(project, config ?? existing ?? name);

function missingSecret(path: string, key: string, { missing, stack }: StackConfig): Problem {
  const isEncryptedThere = missing.some((value) => value.key === key);
  const reason = isEncryptedThere
    ? `${key} is encrypted in Pulumi.${stack}.yaml, which only Pulumi can open`
    : `Pulumi.${stack}.yaml has no ${key}`;
  return { path, message: `${reason}: set the environment variable ${variableOf(key)} to its value` };
}

function stackFile(project: Project, stack: string): string {
  if (!/^[A-Za-z0-9_.-]{1,100}$/.test(stack)) {
    throw new Error(`stack: letters, digits, ".", "_" and "-" are allowed in its name, got "${stack}"`);
  }
  return join(project.configFolder, `Pulumi.${stack}.yaml`);
}

/** `key`, `{ default }` and `{ value }` are three ways to write one. https://www.pulumi.com/docs/iac/concepts/config/#project-level-configuration */
const defaultsOf = (project: Project): readonly (readonly [string, unknown])[] =>
  Object.entries(project.config).flatMap(([key, setting]) => {
    const value = isRecord(setting) ? (setting.value ?? setting.default) : setting;
    return value === undefined || value === null ? [] : [[fullKey(project.name, key), value] as const];
  });

const fullKey = (project: string, key: string): string => (key.includes(":") ? key : `${project}:${key}`);

/** Whether there is a `secure` in it, at any depth: then all of it is a secret, as in Pulumi. */
const isEncrypted = (value: unknown): boolean =>
  isSecure(value) || (typeof value === "object" && value !== null && Object.values(value).some(isEncrypted));

const isSecure = (value: unknown): boolean =>
  isRecord(value) && typeof value.secure === "string" && Object.keys(value).length === 1;

function withPlaceholders(key: string, value: unknown): unknown {
  if (isSecure(value)) return `(the value of ${key} is encrypted)`;
  if (Array.isArray(value)) return value.map((item) => withPlaceholders(key, item));
  if (!isRecord(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, withPlaceholders(key, item)]));
}

const toText = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));
