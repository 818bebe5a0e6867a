import { formatBounds, formatOption } from "../../parts/check.ts";
import type { CloudKind, PartKind } from "../../parts/plan.ts";
import {
  type Fact,
  LIMIT_NAMES,
  type OptionFact,
  RUN_FEATURES,
  SOURCE_TYPES,
  type Support,
  unitOf,
} from "../../parts/support.ts";

const PARTS: Readonly<Record<PartKind, string>> = {
  bucket: "Objects by key",
  queue: "Messages, at least once, in no promised order",
  function: "A handler, what starts it and what it may touch",
  task: "Runs with ids, states and histories, up to 24 hours each",
  schedule: "Times at which functions start",
  secret: "A value that is in no plan, bundle or log",
  volume: "A folder shared by functions",
  table: "Rows by partition and sort key, with conditional puts",
  monitor: "Alarms, and where they go",
  stream: "Records in order in each partition, read by groups at their own pace",
  workflow: "Steps done by functions and tasks, in order, at once, for every item, again and again",
};

/** The page that says what every cloud does with every part and option: Markdown, from the support data alone. */
export function supportPage(support: Readonly<Record<CloudKind, Support>>): string {
  const clouds = Object.values(support);
  const notes = new Notes();
  return `${[
    "# What each cloud does",
    "Every part and every option, on every cloud. What a cloud refuses is refused when a stack is checked, before anything is made; nothing is ignored in silence.",
    "● the cloud does it itself · ○ Millrace adds it there · ✕ it is refused. Numbers lead to the source, and to what it was verified against.",
    "## Parts",
    table(
      ["Part", ...clouds.map(({ title }) => title)],
      kinds.map((kind) => [
        `[\`${kind}\`](#${kind})<br>${PARTS[kind]}`,
        ...clouds.map((cloud) => cell(cloud.parts[kind], notes)),
      ]),
    ),
    "## What starts a function",
    table(
      ["Source", ...clouds.map(({ title }) => title)],
      SOURCE_TYPES.map((type) => [`\`${type}\``, ...clouds.map((cloud) => cell(cloud.sources[type], notes))]),
    ),
    ...kinds.flatMap((kind) => [`## ${kind}`, optionTable(kind, clouds, notes)]),
    "## Runs of a task",
    "What can be asked of one run, beside the options of its task.",
    table(
      ["Run", ...clouds.map(({ title }) => title)],
      RUN_FEATURES.map((feature) => [
        `\`${feature}\``,
        ...clouds.map((cloud) => optionCell(feature, cloud.runs[feature], notes)),
      ]),
    ),
    "## Limits",
    "`millrace dev --as <cloud>` keeps them on your machine. Payloads and results of tasks above theirs go through a bucket by themselves.",
    table(
      ["Limit", ...clouds.map(({ title }) => title)],
      LIMIT_NAMES.map((name) => [
        `\`${name}\``,
        ...clouds.map(({ limits }) => {
          const limit = limits[name];
          return limit ? `${limitText(name, limit.value)}<br>${limit.how} ${notes.mark(limit)}` : "–";
        }),
      ]),
    ),
    "## Sources",
    notes.text(),
  ].join("\n\n")}\n`;
}

const kinds = Object.keys(PARTS) as PartKind[];

function optionTable(kind: PartKind, clouds: readonly Support[], notes: Notes): string {
  const options = clouds.map(({ parts }): Readonly<Record<string, OptionFact>> => parts[kind].options);
  return table(
    ["Option", ...clouds.map(({ title }) => title)],
    Object.keys(options[0]!).map((option) => [
      `\`${option}\``,
      ...options.map((facts) => optionCell(option, facts[option]!, notes)),
    ]),
  );
}

const MARKS = { native: "●", added: "○", refused: "✕" } as const;

const cell = (fact: Fact, notes: Notes): string => `${MARKS[fact.level]} ${fact.how} ${notes.mark(fact)}`;

function optionCell(option: string, fact: OptionFact, notes: Notes): string {
  const bounds = formatBounds(option, isTrivial(fact) ? {} : fact);
  return `${MARKS[fact.level]} ${bounds && `**${bounds}**<br>`}${fact.how} ${notes.mark(fact)}`;
}

/** "At least 0 seconds" and "at least 1" tell a reader nothing. */
const isTrivial = ({ min, max, step, values }: OptionFact): boolean =>
  min !== undefined && min <= 1 && max === undefined && (step === undefined || step <= 1) && values === undefined;

const limitText = (name: string, value: number): string =>
  unitOf(name) ? formatOption(name, value) : value.toLocaleString("en");

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");

/** Footnotes, one for every source and what it was verified against. */
class Notes {
  readonly #numbers = new Map<string, number>();

  mark({ source, verified }: Pick<Fact, "source" | "verified">): string {
    const text = `${source} (${verified})`;
    const number = this.#numbers.get(text) ?? this.#numbers.size + 1;
    this.#numbers.set(text, number);
    return `<sup>[${number}](#sources)</sup>`;
  }

  text(): string {
    return [...this.#numbers].map(([text, number]) => `${number}. ${text}`).join("\n");
  }
}
