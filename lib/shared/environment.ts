/** The environment variables that a deployment writes and a function reads. */
const NAMES = {
  place: "MILLRACE_PLACE",
  logLevel: "MILLRACE_LOG_LEVEL",
  tools: "MILLRACE_TOOLS",
  sources: "MILLRACE_SOURCES",
  authorities: "MILLRACE_AUTHORITIES",
} as const;
const LINK = "MILLRACE_LINK_";

/** The link under which a worker finds the task it works for. */
export const OWN_TASK = "$task";

/** The port by which a function's process itself reads the buckets that are its sources, where it has to. */
export const OWN_STORE = "$store";

/** The port by which a function's process itself consumes the streams that are its sources, where it has to. */
export const OWN_STREAMS = "$streams";

/** A link so named is no handler's: it is how keys to what lies on another cloud come out of their secret. */
const KEYS = "$keys.";

/** The link by which a function reads the keys in a secret. */
export const keysLink = (secret: string): string => KEYS + secret;
export const isKeysLink = (link: string): boolean => link.startsWith(KEYS);

/** The name of a stream's topic among those of other sources, which are buckets' and queues' as they are. */
export const topicKey = (topic: string): string => `topic/${topic}`;

/** What a function is told of the place it runs in. */
export interface Environment {
  /** Where it runs, in its cloud's own words: region, account. */
  readonly place: Readonly<Record<string, string>>;
  readonly logLevel: "debug" | "info" | "warn" | "error";
  /** Paths by tool. */
  readonly tools: Readonly<Record<string, string>>;
  /** Logical names of the buckets, queues and streams whose events come, by their physical names; those of topics by {@link topicKey}. */
  readonly sources: Readonly<Record<string, string>>;
  /** Where the linked parts lie, by the link's name. */
  readonly links: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/** The environment as platforms take it. A `ca` is long, and many links have the same: each is written once. */
export function writeEnvironment({ place, logLevel, tools, sources, links }: Environment): Record<string, string> {
  const authorities = [...new Set(Object.values(links).flatMap(({ ca }) => ca ?? []))];
  const addressOf = ({ ca, ...address }: Readonly<Record<string, string>>) =>
    ca === undefined ? address : { ...address, ca: String(authorities.indexOf(ca)) };
  return {
    [NAMES.place]: JSON.stringify(place),
    [NAMES.logLevel]: logLevel,
    ...(Object.keys(tools).length > 0 && { [NAMES.tools]: JSON.stringify(tools) }),
    ...(Object.keys(sources).length > 0 && { [NAMES.sources]: JSON.stringify(sources) }),
    ...(authorities.length > 0 && { [NAMES.authorities]: JSON.stringify(authorities) }),
    ...Object.fromEntries(
      Object.entries(links).map(([name, address]) => [linkName(name), JSON.stringify(addressOf(address))]),
    ),
  };
}

/** @throws an error that names the variable that is missing or broken. */
export function readEnvironment(variables: Readonly<Record<string, string | undefined>>): Environment {
  const get = (name: string): string => {
    const value = variables[name];
    if (value) return value;
    throw new Error(`the environment variable ${name} is missing: this function was not deployed by Millrace`);
  };
  const record = (name: string, text: string) => parse<Readonly<Record<string, string>>>(name, text);
  const authorities = parse<readonly string[]>(NAMES.authorities, variables[NAMES.authorities] ?? "[]");
  const addressOf = ({ ca, ...address }: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
    ca === undefined ? address : { ...address, ca: authorities[Number(ca)]! };
  return {
    place: record(NAMES.place, get(NAMES.place)),
    logLevel: get(NAMES.logLevel) as Environment["logLevel"],
    tools: record(NAMES.tools, variables[NAMES.tools] ?? "{}"),
    sources: record(NAMES.sources, variables[NAMES.sources] ?? "{}"),
    links: Object.fromEntries(
      Object.keys(variables)
        .filter((name) => name.startsWith(LINK))
        .map((name) => [fromLinkName(name), addressOf(record(name, get(name)))]),
    ),
  };
}

function parse<Value>(name: string, text: string): Value {
  try {
    return JSON.parse(text) as Value;
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
