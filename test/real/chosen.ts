import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/**
 * The text of the chosen tests and of all they import.
 *
 * @param args those of vitest: a test is chosen if its path holds one of them; all are, if none fits.
 */
export function sourcesOfChosen(root: string, args: readonly string[]): readonly string[] {
  const tests = globSync("test/real/**/*.test.ts", { cwd: root });
  const chosen = tests.filter((test) => args.some((arg) => test.includes(arg.replace(/^\.\//, ""))));
  const sources = new Map<string, string>();
  const visit = (file: string): void => {
    if (sources.has(file) || !existsSync(file)) return;
    const source = readFileSync(file, "utf8");
    sources.set(file, source);
    for (const next of importsIn(source)) visit(join(dirname(file), next));
  };
  for (const test of chosen.length > 0 ? chosen : tests) visit(join(root, test));
  return [...sources.values()];
}

const importsIn = (source: string): readonly string[] =>
  [...source.matchAll(/\b(?:from|import) ?\(?"(\.[^"]+)"/g)].map(([, specifier]) => specifier!);
