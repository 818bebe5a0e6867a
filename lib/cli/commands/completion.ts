import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import tab from "@bomb.sh/tab/commander";
import type { Command } from "commander";
import { connectLocal } from "../../clouds/local/client.ts";
import { readPlan } from "../../clouds/local/endpoint.ts";
import type { PartPlan } from "../../parts/plan.ts";
import { DEFAULT_FOLDER } from "../options.ts";

/** Arguments that are parts, by the verb's path and the argument's name. */
const PART_ARGUMENTS: readonly (readonly [verbs: readonly string[], argument: string, kind: PartPlan["kind"]])[] = [
  [["submit", "list", "get", "stop", "retry", "logs"].map((verb) => `tasks ${verb}`), "task", "task"],
  [["start", "list", "get", "stop", "retry", "graph"].map((verb) => `flows ${verb}`), "workflow", "workflow"],
  [["ls", "put", "get"].map((verb) => `buckets ${verb}`), "bucket", "bucket"],
  [["peek", "send", "redrive"].map((verb) => `queues ${verb}`), "queue", "queue"],
  [["ls", "produce", "tail", "lag"].map((verb) => `streams ${verb}`), "stream", "stream"],
];

/** Arguments that are files: the shell's own completion of files is off once a command completes. */
const FILE_ARGUMENTS: readonly (readonly [verb: string, argument: string])[] = [
  ["dev", "program"],
  ["synth", "program"],
  ["buckets put", "file"],
  ["buckets get", "file"],
];

/** How long a running local cloud is waited for: somebody has pressed the tab key. */
const PATIENCE_MILLISECONDS = 500;

/** `millrace completion <shell>`, and what the script it prints asks again and again. */
export async function addCompletion(program: Command, words: readonly string[]): Promise<void> {
  const completion = tab(program, { completionCommandName: "completion" });
  program.commands
    .find((command) => command.name() === "completion")
    ?.description("print what makes a shell complete verbs and names")
    .addHelpText("after", HELP);
  if (words[0] !== "complete") return;
  const parts = await knownParts(folderIn(words));
  const complete = (
    verb: string,
    argument: string,
    values: () => Iterable<readonly [value: string, about: string]>,
  ) => {
    const found = completion.commands.get(verb)?.arguments.get(argument);
    if (found)
      found.handler = (add) => {
        for (const [value, about] of values()) add(value, about);
      };
  };
  for (const [verbs, argument, kind] of PART_ARGUMENTS)
    for (const verb of verbs)
      complete(verb, argument, () =>
        parts.filter((part) => part.kind === kind).map((part) => [part.name, `of ${part.construct}`]),
      );
  for (const [verb, argument] of FILE_ARGUMENTS) complete(verb, argument, () => filesLike(words.at(-1) ?? ""));
}

const HELP = `
Examples:
  source <(millrace completion bash)                             in ~/.bashrc; zsh alike
  millrace completion fish > ~/.config/fish/completions/millrace.fish
  millrace completion powershell | Out-String | Invoke-Expression`;

/** Of the cloud that runs, or else of the one that ran here last. */
async function knownParts(folder: string): Promise<readonly PartPlan[]> {
  const late = new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), PATIENCE_MILLISECONDS).unref());
  const running = connectLocal({ folder })
    .plan()
    .catch(() => undefined);
  const plan = (await Promise.race([running, late])) ?? (await readPlan(folder).catch(() => undefined));
  return plan?.parts ?? [];
}

function folderIn(words: readonly string[]): string {
  const at = words.findIndex((word) => word === "--folder" || word.startsWith("--folder="));
  if (at < 0) return DEFAULT_FOLDER;
  return (words[at] === "--folder" ? words[at + 1] : words[at]!.slice("--folder=".length)) || DEFAULT_FOLDER;
}

function filesLike(begun: string): readonly (readonly [string, string])[] {
  const folder = begun.endsWith("/") ? begun : dirname(begun);
  try {
    return readdirSync(folder, { withFileTypes: true }).map((entry) => [
      `${begun.includes("/") ? join(folder, entry.name) : entry.name}${entry.isDirectory() ? "/" : ""}`,
      "",
    ]);
  } catch {
    return [];
  }
}
