import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { evaluate } from "../lib/program/evaluate.ts";
import { allVerbs, commandsOf, helpOf, linesOf, problemsOf } from "./readme/commands.ts";
import { blocksOf, examplesOf } from "./readme/markdown.ts";
import { MODULES, nameOf, type Snippet, typeCheck } from "./readme/snippets.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

const texts = ["README.md", ...globSync(["docs/**/*.md", "examples/**/*.md", "lib/**/*.md"], { cwd: ROOT })].sort();
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const snippetsOf = (path: string): readonly Snippet[] =>
  blocksOf(read(path))
    .filter(({ language }) => language === "ts" || language === "typescript")
    .map((block) => ({ ...block, source: join(ROOT, path) }));
const snippets = texts.flatMap(snippetsOf);

describe("programs in texts and doc comments", () => {
  test("type-check", () => {
    const sources = globSync("lib/**/*.ts", { cwd: ROOT });
    const examples = sources.flatMap((path) =>
      examplesOf(read(path)).map((block) => ({ ...block, source: join(ROOT, path) })),
    );
    expect(snippets.length).toBeGreaterThan(0);
    expect(examples.length).toBeGreaterThan(5);
    expect(typeCheck([...snippets, ...examples])).toEqual([]);
  }, 240_000);

  test("would not if they were wrong", () => {
    const source = join(ROOT, "README.md");
    const wrong =
      'const cloud = local();\nnew VideoTranscodePipeline("videos", { cloud, formats: ["mp5"] });\nnothing();';
    const found = typeCheck([{ language: "ts", text: wrong, line: 10, source }]);
    expect(found).toHaveLength(2);
    expect(found[0]).toMatch(/^README\.md:11: .*"mp5"/);
    expect(found[1]).toMatch(/^README\.md:12: .*nothing/);
  }, 240_000);

  const workspace = mkdtempSync(join(tmpdir(), "millrace-readme-"));
  afterAll(() => rmSync(workspace, { recursive: true, force: true }));

  test.each(snippets.filter(isStack).map((snippet) => ({ title: titleOf(snippet), snippet })))(
    "$title declares a plan without problems",
    async ({ snippet }) => {
      const folder = mkdtempSync(join(workspace, "stack-"));
      symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
      writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
      const others = snippets.filter(({ source }) => source === snippet.source);
      for (const other of others) writeFileSync(join(folder, fileOf(other)), anchored(other));
      const { plan, problems } = await evaluate({ folder, program: fileOf(snippet) });
      expect(problems).toEqual([]);
      expect(plan.parts.length).toBeGreaterThan(0);
    },
    240_000,
  );
});

describe("commands in texts", () => {
  test.each(texts)(
    "%s: exist, with their options",
    (path) => {
      const found = blocksOf(read(path))
        .filter(({ language }) => ["", "sh", "bash", "shell", "console"].includes(language))
        .flatMap(({ text, line }) =>
          linesOf(text)
            .flatMap(problemsOf)
            .map((problem) => `${path}:${line}: ${problem}`),
        );
      expect(found).toEqual([]);
    },
    240_000,
  );

  test("README.md has the two that matter", () => {
    const lines = blocksOf(read("README.md")).flatMap(({ text }) => linesOf(text));
    expect(lines).toEqual(expect.arrayContaining(["npm ci && npm run demo", "npm ci && npm test"]));
  });

  test("those that the help of every verb gives as examples", () => {
    const examples = allVerbs().flatMap((path) => helpOf(path).examples);
    expect(examples.length).toBeGreaterThan(10);
    expect(examples.flatMap((line) => problemsOf(line).map((problem) => `${line}: ${problem}`))).toEqual([]);
  }, 240_000);

  test.each([
    ["millrace task list videos", "millrace: no such verb task"],
    ["npx millrace tasks submit videos --pirority 3", "millrace tasks submit: no such option --pirority"],
    ["millrace tasks get videos", "millrace tasks get: takes 2 to 2 arguments, given 1"],
    ["cd x && npm run nothing", "npm run nothing: no such script in package.json"],
    ["npm run millrace -- synth --nope", "millrace synth: no such option --nope"],
    ["node examples/nothing.ts", "node examples/nothing.ts: there is no such file"],
  ])("%s is found out", (line, problem) => {
    expect(problemsOf(line)).toEqual([problem]);
  });

  test("are read as a shell reads them", () => {
    expect(
      commandsOf(`A=1 millrace tasks submit v '{"a": "b c"}' --tag a="x y" > out.json | jq . # and so on`),
    ).toEqual([
      ["millrace", "tasks", "submit", "v", '{"a": "b c"}', "--tag", "a=x y"],
      ["jq", "."],
    ]);
    expect(linesOf("$ npm ci \\\n  && npm test")).toEqual(["npm ci  && npm test"]);
  });
});

/** A block that is a program of its own, not a piece of one. */
function isStack({ text }: Snippet): boolean {
  return (
    /from "millrace(\/\w+)?"/.test(text) && /\bnew [A-Z]\w+\(/.test(text) && /^export const millrace\b/m.test(text)
  );
}

function titleOf({ source, line }: Snippet): string {
  return `${source.slice(ROOT.length)}:${line}`;
}

const fileOf = (snippet: Snippet): string => nameOf(snippet)?.replaceAll("/", "-") ?? `block-${snippet.line}.ts`;

/** The library from its sources, and files beside the text from where they are; the others are blocks, or nowhere. */
const anchored = ({ text, source }: Snippet): string =>
  text
    .replace(/"(millrace(?:\/\w+)?)"/g, (all, name) => (MODULES[name] ? `"${pathToFileURL(MODULES[name]).href}"` : all))
    .replace(/"(\.\.?\/[^"]+\.ts)"/g, (all, path) => {
      const file = resolve(dirname(source), path);
      return existsSync(file) ? `"${pathToFileURL(file).href}"` : all;
    });
