import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
  readonly scripts: Readonly<Record<string, string>>;
};

/**
 * What is wrong with a shell line's `npm`, `npx`, `node` and `millrace` commands; other programs are not looked at.
 *
 * @returns one sentence for each mistake.
 */
export const problemsOf = (line: string): readonly string[] => commandsOf(line).flatMap(problemsOfCommand);

function problemsOfCommand([program, ...words]: readonly string[]): readonly string[] {
  if (program === "millrace") return problemsOfMillrace(words);
  if (program === "npx" && words[0] === "millrace") return problemsOfMillrace(words.slice(1));
  if (program === "npm") return problemsOfNpm(words);
  if (program === "node") {
    const file = words.find((word) => !word.startsWith("-"));
    return file && !existsSync(join(ROOT, file)) ? [`node ${file}: there is no such file`] : [];
  }
  return [];
}

const NPM_VERBS = ["ci", "install", "uninstall", "pack", "publish", "init", "create", "view", "exec"];

function problemsOfNpm([verb, ...words]: readonly string[]): readonly string[] {
  if (verb === undefined) return ["npm: no verb"];
  if (verb !== "run" && verb !== "test") return NPM_VERBS.includes(verb) ? [] : [`npm ${verb}: no such verb`];
  const script = verb === "test" ? verb : words[0];
  if (script === undefined || !(script in scripts)) return [`npm run ${script}: no such script in package.json`];
  return script === "millrace" ? problemsOfMillrace(words.slice(words.indexOf("--") + 1 || words.length)) : [];
}

/** Against the help of the verb itself: it is written by the parser that takes the words. */
function problemsOfMillrace(words: readonly string[]): readonly string[] {
  const path: string[] = [];
  while (words[path.length] !== undefined && helpOf(path).verbs.includes(words[path.length]!))
    path.push(words[path.length]!);
  const name = ["millrace", ...path].join(" ");
  const { verbs, flags, least, most } = helpOf(path);
  const problems: string[] = [];
  const values: string[] = [];
  const rest = words.slice(path.length);
  for (let at = 0; at < rest.length; at += 1) {
    const word = rest[at]!;
    if (word === "-" || !word.startsWith("-")) values.push(word);
    else {
      const [flag = word] = word.split("=");
      const takes = flags.get(flag);
      if (takes === undefined) problems.push(`${name}: no such option ${flag}`);
      else if (takes && flag === word) at += 1;
    }
  }
  const isGroup = verbs.length > 0;
  if (isGroup && values.length > 0) problems.push(`${name}: no such verb ${values[0]}`);
  else if (!isGroup && !rest.includes("--help") && (values.length < least || values.length > most))
    problems.push(`${name}: takes ${least} to ${most} arguments, given ${values.length}`);
  return problems;
}

interface Help {
  readonly verbs: readonly string[];
  /** Every option, and whether it takes a value. */
  readonly flags: ReadonlyMap<string, boolean>;
  /** Fewest and most arguments. */
  readonly least: number;
  readonly most: number;
  readonly examples: readonly string[];
}

const helps = new Map<string, Help>();

/** What `millrace <path> --help` says. */
export function helpOf(path: readonly string[]): Help {
  const key = path.join(" ");
  const known =
    helps.get(key) ??
    readHelp(execFileSync(process.execPath, [join(ROOT, "bin/millrace.js"), ...path, "--help"], { encoding: "utf8" }));
  helps.set(key, known);
  return known;
}

/** Every verb there is, as the words that lead to it. */
export const allVerbs = (path: readonly string[] = []): readonly (readonly string[])[] => [
  path,
  ...helpOf(path)
    .verbs.filter((verb) => verb !== "help")
    .flatMap((verb) => allVerbs([...path, verb])),
];

function readHelp(text: string): Help {
  const usage = /^Usage: (.*)$/m.exec(text)![1]!;
  const values = usage.match(/<[^>]+>|\[(?!options\]|command\])[^\]]+\]/g) ?? [];
  const options = [...text.matchAll(/^ {2}(?:(-\w), )?(--[\w-]+)( <| \[)?/gm)];
  return {
    verbs: sectionOf(text, "Commands:").flatMap((line) => /^ {2}([a-z][\w-]*)/.exec(line)?.[1] ?? []),
    flags: new Map(
      options.flatMap(([, short, long, value]) =>
        [short, long].flatMap((flag) => (flag ? [[flag, value !== undefined] as const] : [])),
      ),
    ),
    least: values.filter((value) => value.startsWith("<")).length,
    most: values.some((value) => value.includes("...")) ? Number.POSITIVE_INFINITY : values.length,
    examples: [...sectionOf(text, "Examples:"), ...sectionOf(text, "Begin with:")].map(
      (line) => line.trim().split(/ {3,}/)[0]!,
    ),
  };
}

function sectionOf(text: string, title: string): readonly string[] {
  const lines = text.split("\n");
  const begin = lines.indexOf(title) + 1;
  if (begin === 0) return [];
  const length = lines.slice(begin).findIndex((line) => line.trim() === "");
  return lines.slice(begin, length < 0 ? undefined : begin + length);
}

/** The lines of a shell block: what goes on after a backslash is one, a prompt is left out. */
export const linesOf = (block: string): readonly string[] =>
  block
    .replace(/\\\n\s*/g, " ")
    .split("\n")
    .map((line) => line.trim().replace(/^\$ /, ""));

/** The commands of a line, each as its words; quotes are undone, redirections and comments left out. */
export function commandsOf(line: string): readonly (readonly string[])[] {
  const commands: string[][] = [[]];
  const token =
    /\s*(?:(#.*)|(&&|\|\||[;|&])|(?:\d?>{1,2}\s*\S+)|((?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s'"\\;|&#>]|(?<=\S)#)+))/gy;
  for (const [, comment, operator, word] of line.matchAll(token)) {
    if (comment) break;
    if (operator) commands.push([]);
    else if (word)
      commands
        .at(-1)!
        .push(
          word.replace(
            /'([^']*)'|"((?:\\.|[^"\\])*)"|\\(.)/g,
            (_all, single, double, escaped) => single ?? escaped ?? double.replace(/\\(.)/g, "$1"),
          ),
        );
  }
  return commands
    .map((words) => words.slice(words.findIndex((word) => !/^[A-Z_][A-Z0-9_]*=/.test(word))))
    .filter((words) => words.length > 0);
}
