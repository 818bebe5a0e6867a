import { basename, resolve } from "node:path";
import { build, type Message } from "esbuild";

/** One thing that keeps code from being bundled. */
export interface BundleProblem {
  readonly text: string;
  /** Absolute path. */
  readonly file?: string;
  /** From 1. */
  readonly line?: number;
  /** From 1. */
  readonly column?: number;
  /** The line itself. */
  readonly lineText?: string;
}

/** Everything that keeps code from being bundled, each with its file and line. */
export class BundleError extends Error {
  override readonly name = "BundleError";
  readonly problems: readonly BundleProblem[];

  constructor(problems: readonly BundleProblem[]) {
    super(problems.map(formatBundleProblem).join("\n"));
    this.problems = problems;
  }

  /** The files to watch for the repair. */
  get files(): readonly string[] {
    return [...new Set(this.problems.flatMap(({ file }) => file ?? []))];
  }
}

/** `/app/resize.ts:3:7: Expected ";" but found "x"`, with the line and a mark under the place. */
export function formatBundleProblem({ text, file, line, column, lineText }: BundleProblem): string {
  if (file === undefined || line === undefined || column === undefined) return text;
  const mark = lineText?.trim() ? [`    ${lineText}`, `    ${" ".repeat(column - 1)}^`] : [];
  return [`${file}:${line}:${column}: ${text}`, ...mark].join("\n");
}

/** esbuild's messages in our form. https://esbuild.github.io/api/#build-failures-and-warnings */
export function toBundleProblems(error: unknown, folder: string): readonly BundleProblem[] | undefined {
  const messages = error instanceof Error && "errors" in error ? (error.errors as readonly Message[]) : [];
  if (messages.length === 0) return undefined;
  return messages.map(({ text, location }) => ({
    text: text.startsWith('No loader is configured for ".node"')
      ? `${text}: a native package cannot be bundled; name it in install`
      : text,
    ...(location && {
      file: resolve(folder, location.file),
      line: location.line,
      column: location.column + 1,
      lineText: location.lineText,
    }),
  }));
}

/** What went wrong, in words for the one fault everybody makes: a module without the export `handler`. */
export async function toBundleError(error: unknown, handler: string, folder: string): Promise<unknown> {
  const problems = toBundleProblems(error, folder);
  if (!problems) return error;
  const isMissing = ({ text }: BundleProblem) => /^No matching export in .* for import "handler"$/.test(text);
  if (!problems.some(isMissing)) return new BundleError(problems);
  const missing = { text: await missingHandler(handler), file: handler };
  return new BundleError([missing, ...problems.filter((problem) => !isMissing(problem))]);
}

async function missingHandler(file: string): Promise<string> {
  const { metafile } = await build({
    entryPoints: [file],
    format: "esm",
    metafile: true,
    write: false,
    logLevel: "silent",
  });
  const exports = Object.values(metafile.outputs).flatMap((output) => output.exports);
  const found =
    exports.length > 0 ? `it exports ${exports.map((name) => `"${name}"`).join(", ")}` : "it exports nothing";
  return `${file} exports no "handler" (${found}): write "export async function handler(event, context)" in ${basename(file)}`;
}
