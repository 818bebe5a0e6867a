import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import type { Block } from "./markdown.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** What users import, and where it is here. */
export const MODULES: Readonly<Record<string, string>> = {
  millrace: join(ROOT, "lib/index.ts"),
  "millrace/local": join(ROOT, "lib/clouds/local/index.ts"),
  "millrace/alicloud": join(ROOT, "lib/clouds/alicloud/index.ts"),
  "millrace/aws": join(ROOT, "lib/clouds/aws/index.ts"),
  "millrace/kubernetes": join(ROOT, "lib/clouds/kubernetes/index.ts"),
  "millrace/client/alicloud": join(ROOT, "lib/clouds/alicloud/client.ts"),
  "millrace/client/aws": join(ROOT, "lib/clouds/aws/client.ts"),
  "millrace/client/kubernetes": join(ROOT, "lib/clouds/kubernetes/client.ts"),
  "millrace/handler": join(ROOT, "lib/runtime/index.ts"),
  "millrace/client": join(ROOT, "lib/client/index.ts"),
  "millrace/testing": join(ROOT, "lib/testing/index.ts"),
};

/** A block, and the file it was found in. */
export interface Snippet extends Block {
  /** Absolute. */
  readonly source: string;
}

/** The file that a block's first line names, `// resize.ts`: other blocks of the text import it by that name. */
export const nameOf = ({ text }: Block): string | undefined => /^\/\/ ([\w./-]+\.ts)$/m.exec(text.split("\n")[0]!)?.[1];

/**
 * Type-checks snippets as strictly as the library, each as a module of its own in the folder of its text.
 *
 * Names that a snippet uses and does not declare are looked for in the file it documents, then in what users import, then
 * in the little world below. A file it names that is nowhere becomes a handler, mapper and reducer of anything.
 *
 * @returns one line per mistake, with file and line; none if all is well.
 */
export function typeCheck(snippets: readonly Snippet[]): readonly string[] {
  const files = new Map<string, Snippet & { readonly content: string }>();
  for (const snippet of snippets) files.set(virtualName(snippet), { ...snippet, content: snippet.text });
  const stubs = new Map<string, string>();
  for (const [name, { text }] of files) {
    for (const missing of relativeModules(name, text).filter((file) => !existsSync(file) && !files.has(file))) {
      stubs.set(missing, ANY_HANDLER);
    }
  }
  const first = programOf(files, stubs);
  for (const [name, file] of files) files.set(name, { ...file, content: preludeFor(first, name, file) + file.text });
  const second = programOf(files, stubs, first);
  return [...files].flatMap(([name, { source, line }]) => {
    const file = second.getSourceFile(name)!;
    return [...second.getSyntacticDiagnostics(file), ...second.getSemanticDiagnostics(file)].map(
      ({ start = 0, messageText }) => {
        const at = line + file.getLineAndCharacterOfPosition(start).line;
        return `${source.slice(ROOT.length)}:${at}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`;
      },
    );
  });
}

/** What snippets may take for granted. */
const WORLD: Readonly<Record<string, string>> = {
  cloud: 'import("millrace").Cloud',
  config: 'import("@pulumi/pulumi").Config',
  bucket: 'import("millrace").Bucket',
  uploads: 'import("millrace").Bucket',
  queue: 'import("millrace").Queue',
  table: 'import("millrace").Table',
  orders: 'import("millrace").Stream',
  tasks: 'import("millrace/client").TaskClient',
  handler:
    'import("millrace").Code<{ handler(event: import("millrace/handler").FunctionInvoked<unknown>): Promise<void> }>',
  expect: 'typeof import("vitest").expect',
  test: 'typeof import("vitest").test',
};

const ANY_HANDLER = `
import type { Context, FunctionInvoked } from "millrace/handler";
export declare function handler(event: FunctionInvoked<Readonly<Record<string, unknown>>>, context: Context): Promise<unknown>;
export declare function mapper(record: never): Iterable<readonly [key: string, value: unknown]>;
export declare function reducer(key: string, values: Iterable<never>): unknown;
export declare function operator(record: object): unknown;
export declare function application(record: object): string;
`;

function virtualName(snippet: Snippet): string {
  const named = nameOf(snippet);
  const file = named && join(dirname(snippet.source), named);
  return file && !existsSync(file) ? file : `${snippet.source}.${snippet.line}.ts`;
}

const relativeModules = (from: string, text: string): readonly string[] =>
  [...text.matchAll(/"(\.\.?\/[^"]+\.ts)"/g)].map(([, path]) => resolve(dirname(from), path!));

function programOf(
  files: ReadonlyMap<string, { readonly content: string }>,
  stubs: ReadonlyMap<string, string>,
  before?: ts.Program,
): ts.Program {
  const options = optionsOf();
  const host = ts.createCompilerHost(options, true);
  const contentOf = (name: string) => files.get(name)?.content ?? stubs.get(name);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (name) => contentOf(name) !== undefined || fileExists(name);
  host.readFile = (name) => contentOf(name) ?? readFile(name);
  host.getSourceFile = (name, target, ...others) => {
    const content = contentOf(name);
    if (content === undefined) return before?.getSourceFile(name) ?? getSourceFile(name, target, ...others);
    return ts.createSourceFile(name, content, target, true);
  };
  return ts.createProgram([...files.keys(), ...Object.values(MODULES)], options, host, before);
}

function optionsOf(): ts.CompilerOptions {
  const { config } = ts.readConfigFile(join(ROOT, "tsconfig.json"), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent({ ...config, files: [], include: [] }, ts.sys, ROOT);
  const paths = Object.fromEntries(Object.entries(MODULES).map(([name, file]) => [name, [file]]));
  // An option and its value, `timeout: "2 hours"`, is a label to the compiler.
  return { ...options, paths, allowUnusedLabels: true };
}

/** On the snippet's first line, so that all lines stay where they are. */
function preludeFor(program: ts.Program, name: string, { source }: Snippet): string {
  const places = [...(source.endsWith(".ts") ? [source] : []), ...Object.values(MODULES)];
  const checker = program.getTypeChecker();
  return missingNames(program, program.getSourceFile(name)!)
    .map((word) => {
      for (const place of places) {
        const found = exportOf(checker, program.getSourceFile(place), word);
        if (found)
          return `import { ${found & ts.SymbolFlags.Value ? "" : "type "}${word} } from ${JSON.stringify(place)};`;
      }
      return word in WORLD ? `declare const ${word}: ${WORLD[word]};` : "";
    })
    .join(" ");
}

/** "Cannot find name", with and without a suggestion, and the same for `{ name }`. */
const NO_SUCH_NAME = [2304, 2552, 2582, 18004];

const missingNames = (program: ts.Program, file: ts.SourceFile): readonly string[] => [
  ...new Set(
    program
      .getSemanticDiagnostics(file)
      .filter(({ code }) => NO_SUCH_NAME.includes(code))
      .map(({ start = 0, length = 0 }) => file.text.slice(start, start + length)),
  ),
];

function exportOf(checker: ts.TypeChecker, file: ts.SourceFile | undefined, word: string): ts.SymbolFlags | undefined {
  const module = file && checker.getSymbolAtLocation(file);
  const symbol = module && checker.getExportsOfModule(module).find(({ name }) => name === word);
  if (!symbol) return undefined;
  return symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol).flags : symbol.flags;
}
