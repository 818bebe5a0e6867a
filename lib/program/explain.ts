import { readFileSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";
import { inspect } from "node:util";
import { transformSync } from "esbuild";
import { type BundleProblem, formatBundleProblem, toBundleProblems } from "../bundle/bundle-error.ts";
import { isUsers } from "./loader.ts";

/**
 * What was thrown, in words, with those lines of its stack that lie in the user's files.
 *
 * @param inputs the user's files that were loaded.
 */
export function explain(error: unknown, inputs: Iterable<string>): string {
  if (!(error instanceof Error)) return `it threw ${inspect(error)}`;
  const misspelt = toBundleProblems(error, "/") ?? (error.name === "SyntaxError" ? syntaxErrors(inputs) : []);
  if (misspelt.length > 0) return misspelt.map(formatBundleProblem).join("\n");
  const { name, message, stack = "" } = error;
  const title = name === "Error" ? message : `${name}: ${message}`;
  return [title + hintOf(message), ...new Set(stack.split("\n").flatMap(usersLine))].join("\n");
}

/** Node tells the place of a module's syntax error to its console only: esbuild finds it again. */
const syntaxErrors = (inputs: Iterable<string>): readonly BundleProblem[] =>
  [...inputs]
    .filter((file) => /\.[mc]?jsx?$/.test(file))
    .flatMap((file) => {
      try {
        transformSync(readFileSync(file, "utf8"), { loader: "jsx", sourcefile: file, logLevel: "silent" });
        return [];
      } catch (error) {
        return toBundleProblems(error, "/") ?? [];
      }
    });

/** A stack line with a plain path, if it is the user's. */
function usersLine(line: string): readonly string[] {
  const [, before = "", place = "", after = ""] =
    /^(\s+at (?:async )?(?:.*? \()?)((?:file:\/\/)?\/.+?)((?::\d+)+\)?)$/.exec(line) ?? [];
  const url = place.startsWith("file:") ? place : pathToFileURL(place).href;
  return place && isUsers(url) ? [before + fileURLToPath(url) + after] : [];
}

const hintOf = (message: string): string =>
  message.includes("Missing required configuration variable")
    ? "\n  or write it under config in the stack's file, Pulumi.<stack>.yaml"
    : "";
