import type { LinkAddress } from "../../runtime/deployment.ts";
import type { LogLevel } from "../../runtime/handler.ts";

/** The environment variables that a deployment writes and a function reads. */
const NAMES = {
  region: "MILLRACE_REGION",
  account: "MILLRACE_ACCOUNT",
  logLevel: "MILLRACE_LOG_LEVEL",
  tools: "MILLRACE_TOOLS",
  sources: "MILLRACE_SOURCES",
} as const;
const LINK = "MILLRACE_LINK_";

/** The link under which a worker finds the task it works for. */
export const OWN_TASK = "$task";

/** What a function is told of the place it runs in. */
export interface Environment {
  readonly region: string;
  /** The account's number. */
  readonly account: string;
  readonly logLevel: LogLevel;
  /** Paths by tool. */
  readonly tools: Readonly<Record<string, string>>;
  /** Logical names of the buckets and queues whose events come, by their physical names. */
  readonly sources: Readonly<Record<string, string>>;
  readonly links: Readonly<Record<string, LinkAddress>>;
}

/** The environment as Function Compute takes it. */
export const writeEnvironment = ({ region, account, logLevel, tools, sources, links }: Environment) => ({
  [NAMES.region]: region,
  [NAMES.account]: account,
  [NAMES.logLevel]: logLevel,
  ...(Object.keys(tools).length > 0 && { [NAMES.tools]: JSON.stringify(tools) }),
  ...(Object.keys(sources).length > 0 && { [NAMES.sources]: JSON.stringify(sources) }),
  ...Object.fromEntries(Object.entries(links).map(([name, address]) => [linkName(name), JSON.stringify(address)])),
});

/** @throws an error that names the variable that is missing or broken. */
export function readEnvironment(variables: Readonly<Record<string, string | undefined>>): Environment {
  const get = (name: string): string => {
    const value = variables[name];
    if (value) return value;
    throw new Error(`the environment variable ${name} is missing: this function was not deployed by Millrace`);
  };
  const record = <Value>(name: string) => JSON.parse(variables[name] ?? "{}") as Record<string, Value>;
  return {
    region: get(NAMES.region),
    account: get(NAMES.account),
    logLevel: get(NAMES.logLevel) as LogLevel,
    tools: record<string>(NAMES.tools),
    sources: record<string>(NAMES.sources),
    links: Object.fromEntries(
      Object.keys(variables)
        .filter((name) => name.startsWith(LINK))
        .map((name) => [fromLinkName(name), parseAddress(name, get(name))]),
    ),
  };
}

/**
 * A field of a link's address.
 *
 * @throws an error that names link and field if it is missing.
 */
export function field(address: LinkAddress, name: string): string {
  const value = address[name];
  if (value !== undefined) return value;
  throw new Error(`the address of ${address.kind} "${address.part}" has no ${name}: deploy the function again`);
}

function parseAddress(name: string, text: string): LinkAddress {
  try {
    return JSON.parse(text) as LinkAddress;
  } catch (error) {
    throw new Error(`the environment variable ${name} is no JSON: deploy the function again`, { cause: error });
  }
}

/** Links have any names, variables only letters, digits and `_`: every other character, and `_` itself, is `_` and its hex code. */
const linkName = (link: string): string =>
  LINK + link.replace(/[^A-Za-z0-9]/gu, (character) => `_${character.codePointAt(0)!.toString(16)}_`);

const fromLinkName = (name: string): string =>
  name
    .slice(LINK.length)
    .replace(/_([0-9a-f]+)_/g, (_, code: string) => String.fromCodePoint(Number.parseInt(code, 16)));
