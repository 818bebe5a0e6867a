/** A piece of code in a text for people. */
export interface Block {
  /** What the fence says; nothing for an indented block. */
  readonly language: string;
  readonly text: string;
  /** Of the first line of code, from 1. */
  readonly line: number;
}

/** The fenced and the indented blocks of a Markdown text. https://spec.commonmark.org/0.31.2/#fenced-code-blocks */
export function blocksOf(markdown: string): readonly Block[] {
  const blocks: Block[] = [];
  const lines = markdown.split("\n");
  for (let at = 0; at < lines.length; at += 1) {
    const [, fence, language = ""] = /^ *(`{3,}|~{3,}) *([\w-]*)/.exec(lines[at]!) ?? [];
    const isIndented = /^ {4}\S/.test(lines[at]!) && (at === 0 || lines[at - 1]!.trim() === "");
    if (!fence && !isIndented) continue;
    const begin = fence ? at + 1 : at;
    let end = begin;
    const isIn = (line: string) => (fence ? line.trim() !== fence : line.trim() === "" || line.startsWith("    "));
    while (end < lines.length && isIn(lines[end]!)) end += 1;
    blocks.push({
      language,
      text: lines
        .slice(begin, end)
        .map(fence ? keep : outdent)
        .join("\n"),
      line: begin + 1,
    });
    at = end;
  }
  return blocks;
}

const keep = (line: string): string => line;
const outdent = (line: string): string => line.replace(/^ {4}/, "");

/** The `@example` blocks of a source's doc comments. */
export function examplesOf(source: string): readonly Block[] {
  return [...source.matchAll(/\/\*\*[\s\S]*?\*\//g)].flatMap(({ 0: comment, index }) => {
    const [, before, text] = /^([\s\S]*?@example[^\n]*\n)([\s\S]*?)(?=\n\s*\*\s*@|\n\s*\*\/)/.exec(comment) ?? [];
    if (before === undefined || text === undefined) return [];
    const line = `${source.slice(0, index)}${before}`.split("\n").length;
    return [{ language: "ts", text: text.replace(/^\s*\* ?/gm, ""), line }];
  });
}
