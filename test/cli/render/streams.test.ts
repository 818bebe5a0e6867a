import pico from "picocolors";
import { expect, test } from "vitest";
import { DevView, renderReady } from "../../../lib/cli/render/dev.ts";
import { renderMermaid } from "../../../lib/cli/render/mermaid.ts";
import { renderTree } from "../../../lib/cli/render/tree.ts";
import type { Terminal } from "../../../lib/cli/terminal.ts";
import type { FunctionPlan, PartKind, Plan, PlanOf } from "../../../lib/parts/plan.ts";

const part = <Kind extends PartKind>(kind: Kind, name: string, fields: Partial<PlanOf<Kind>>): PlanOf<Kind> =>
  ({ kind, name, stem: name, construct: "shop", cloud: "local", ...fields }) as PlanOf<Kind>;

const FUNCTION: Partial<FunctionPlan> = { timeout: 60, memory: 512 * 2 ** 20, links: {}, sources: [], tools: [] };
const source = { type: "stream.consumed", stream: "shop-orders", batch: 500, window: 1, from: "latest" } as const;
const PLAN: Plan = {
  version: 1,
  project: "shop",
  stack: "dev",
  clouds: [{ name: "local", kind: "local" }],
  constructs: [{ name: "shop", type: "Shop", id: "shop", cloud: "local" }],
  parts: [
    part("stream", "shop-orders", { partitions: 6, retention: 604_800 }),
    part("stream", "shop-results", { partitions: 6, retention: 604_800, existing: "results" }),
    part("function", "shop-tally", {
      ...FUNCTION,
      sources: [source],
      links: {
        orders: { part: "shop-orders", actions: ["stream.claim"] },
        results: { part: "shop-results", actions: ["stream.produce"] },
      },
    }),
    part("function", "shop-count", { ...FUNCTION, sources: [{ ...source, group: "counters" }] }),
  ],
};

test("the tree says how streams are kept, who reads them, and who appends", () => {
  expect(renderTree(PLAN, { colour: false })).toMatchInlineSnapshot(`
    "shop, stack dev, on local
    └─ shop  Shop
       ├─ shop-orders   stream      6 partitions, kept 7 days
       ├─ shop-results  stream      existing results
       ├─ shop-tally    function  keeps its place in shop-orders, appends to shop-results  1 minute, 512 MB
       │  └─ when records come into shop-orders (up to 500 at once)
       └─ shop-count    function    1 minute, 512 MB
          └─ when records come into shop-orders (up to 500 at once, as group counters)"
  `);
});

test("the drawing has the ways of records", () => {
  const arrows = renderMermaid(PLAN).split("\n").slice(-4);
  expect(arrows).toEqual([
    '  p0 -->|"consumed"| p2',
    '  p2 -.->|"claim"| p0',
    '  p2 -.->|"produce"| p1',
    '  p0 -->|"consumed"| p3',
  ]);
});

test("dev says how to append a record, and has a line for each batch that is done", () => {
  const ready = renderReady(
    { url: "http://127.0.0.1:1", plan: PLAN, folder: "cloud", milliseconds: 1 },
    pico.createColors(false),
  );
  expect(ready).toContain("millrace streams produce shop-orders '{ … }' --folder cloud");
  const lines: string[] = [];
  const terminal = {
    print: (line: string) => void lines.push(line),
    colors: pico.createColors(false),
    live: () => ({ show() {}, clear() {} }),
  } as unknown as Terminal;
  const view = new DevView(terminal, { isJson: false });
  const batch = { stream: "shop-orders", partition: 3, first: 120, last: 219, count: 100 };
  view.tell({ type: "records.consumed", function: "shop-tally", ...batch });
  view.tell({ type: "records.consumed", function: "shop-tally", ...batch, last: 120, count: 1 });
  view.end();
  expect(lines).toEqual([
    "records shop-orders 3/120–219 100 records, done by shop-tally",
    "records shop-orders 3/120 1 record, done by shop-tally",
  ]);
});
