import { basename, dirname, resolve, sep } from "node:path";
import { pathToFileURL } from "node:url";

interface SourceMap {
  sources: string[];
  sourcesContent: (string | null)[];
}

/**
 * The map without a trace of the machine: the library's own sources get names instead of paths, and the generated
 * module, which names files by absolute path, none of its text. The user's files stay relative to the bundle.
 *
 * Packages keep their paths, so that stacks name file and line, but not their text: it is four fifths of what would be
 * uploaded, and whoever reads such a stack has the package.
 *
 * @param path where the map will lie
 * @param library the folder of the library's own sources
 */
export function portableMap(text: string, path: string, library: string): Uint8Array {
  const map = JSON.parse(text) as SourceMap;
  const files = map.sources.map((source) => resolve(dirname(path), source));
  const isMain = files.map((file, index) => basename(file) === "main.mjs" && isGenerated(map.sourcesContent[index]));
  map.sourcesContent = map.sourcesContent.map((content, index) =>
    isMain[index] || isOfPackage(files[index]!, library) ? null : content,
  );
  map.sources = map.sources.map((source, index) => {
    const file = files[index]!;
    if (isMain[index]) return "millrace:///main.mjs";
    if (!file.startsWith(library + sep)) return source;
    return `millrace:///${pathToFileURL(file).href.slice(pathToFileURL(library).href.length + 1)}`;
  });
  return Buffer.from(JSON.stringify(map));
}

const isGenerated = (content: string | null | undefined): boolean =>
  content?.includes("start({ handler, code,") === true;

/** The library itself lies among the user's packages, too. */
const isOfPackage = (file: string, library: string): boolean =>
  file.includes(`${sep}node_modules${sep}`) && !file.startsWith(library + sep);
