import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { supportPage } from "../lib/cli/render/support.ts";
import { SUPPORT } from "../lib/clouds/support.ts";
import { checkParts } from "../lib/parts/check.ts";
import { DEFAULTS } from "../lib/parts/defaults.ts";
import type { Fact, LimitFact, OptionFact, Support } from "../lib/parts/support.ts";

const CLOUDS: readonly (readonly [string, Support])[] = Object.entries(SUPPORT);

test("docs/support.md is current: `npm run docs` writes it", async () => {
  await expect(supportPage(SUPPORT)).toMatchFileSnapshot("../docs/support.md");
});

test.each(CLOUDS)(
  "%s names a cloud and says of everything how, from where and how it was verified",
  (kind, support) => {
    expect(support.cloud).toBe(kind);
    for (const [path, fact] of factsOf(support)) {
      expect(fact.how, path).toMatch(/\S{4}/);
      expect(fact.source, path).toMatch(/^(https:\/\/|@pulumi\/|terraform-provider-|Millrace)/);
      expect(fact.verified, path).not.toBe("");
    }
  },
);

test("no source is a path of somebody's machine or a private file", () => {
  expect(JSON.stringify(SUPPORT)).not.toMatch(/\/work\/|\/root\/|facts/);
});

test.each(CLOUDS)("bounds of %s are bounds", (_, support) => {
  for (const [path, { min, max, step, values }] of optionsOf(support)) {
    if (min !== undefined && max !== undefined) expect(min, path).toBeLessThanOrEqual(max);
    if (step !== undefined) expect(step, path).toBeGreaterThan(0);
    if (values) expect(values.length, path).toBeGreaterThan(0);
  }
  for (const [name, limit] of Object.entries(support.limits)) {
    if (limit) expect(limit.value, name).toBeGreaterThan(0);
  }
});

test.each(CLOUDS)("what Millrace does unless told otherwise is allowed on %s", (_, support) => {
  const names = { construct: "a", cloud: "c", stem: "s" };
  const machine = {
    ...names,
    kind: "function",
    handler: { id: "tasks/dispatch" },
    code: {},
    links: {},
    settings: {},
    sources: [],
    timeout: DEFAULTS.functionTimeout,
    memory: DEFAULTS.functionMemory,
    disk: DEFAULTS.functionDisk,
    cpu: DEFAULTS.functionCpu,
    attempts: DEFAULTS.attempts,
    backoff: DEFAULTS.backoff,
    tools: [],
    install: [],
    environment: {},
  } as const;
  const problems = checkParts(
    [
      { ...machine, name: "function", sources: [{ type: "queue.received", queue: "queue", batch: 1, window: 0 }] },
      {
        ...names,
        kind: "queue",
        name: "queue",
        visibility: DEFAULTS.queueVisibility,
        retention: DEFAULTS.queueRetention,
        delay: 0,
        attempts: DEFAULTS.queueAttempts,
        deadLetters: "queue",
      },
      {
        ...names,
        kind: "task",
        name: "task",
        worker: "function",
        dispatcher: "function",
        timeout: DEFAULTS.taskTimeout,
        grace: DEFAULTS.taskGrace,
        attempts: DEFAULTS.attempts,
        backoff: DEFAULTS.backoff,
        retention: DEFAULTS.taskRetention,
        onSuccess: [],
        onFailure: [],
      },
      { ...names, kind: "bucket", name: "bucket", versioned: false, removable: false },
    ],
    support,
  );
  expect(problems).toEqual([]);
});

test("the bounds users meet first", () => {
  const { local, alicloud, aws, kubernetes } = SUPPORT;
  const timeouts = [local, alicloud, aws, kubernetes].map(({ parts }) => parts.function.options.timeout.max);
  expect(timeouts).toEqual([86_400, 86_400, 900, undefined]);
  expect([local, alicloud, aws, kubernetes].map(({ parts }) => parts.task.options.timeout.max)).toEqual([
    86_400, 86_400, 86_400, 86_400,
  ]);
  expect(alicloud.limits.taskPayloadBytes?.value).toBe(131_072);
  expect(alicloud.limits.queueMessageBytes?.value).toBe(65_536);
  expect(alicloud.limits.eventFunctionSeconds?.value).toBe(300);
  expect(alicloud.parts.queue.options.visibility).toMatchObject({ min: 1, max: 43_200 });
  expect(alicloud.parts.function.options.attempts).toMatchObject({ min: 1, max: 9 });
  expect(aws.parts.queue.options.delay).toMatchObject({ min: 0, max: 900 });
});

test("support data loads without Pulumi and without any provider", () => {
  const script = `
    import { registerHooks } from "node:module";
    registerHooks({ resolve(specifier, context, next) {
      if (!specifier.startsWith(".") && !specifier.startsWith("file:")) throw new Error("loads " + specifier);
      return next(specifier, context);
    } });
    const { SUPPORT } = await import(process.argv[1]);
    console.log(Object.keys(SUPPORT).join(" "));`;
  const index = new URL("../lib/clouds/support.ts", import.meta.url).href;
  const out = execFileSync(process.execPath, ["--input-type=module", "-e", script, index], {
    cwd: fileURLToPath(new URL("..", import.meta.url)),
    encoding: "utf8",
  });
  expect(out.trim()).toBe("local alicloud aws kubernetes");
});

const factsOf = (support: Support): (readonly [string, Fact | LimitFact])[] => [
  ...Object.entries(support.parts),
  ...Object.entries(support.sources),
  ...optionsOf(support),
  ...Object.entries(support.limits).flatMap(([name, limit]) => (limit ? [[name, limit] as const] : [])),
];

const optionsOf = ({ parts, runs }: Support): (readonly [string, OptionFact])[] => [
  ...Object.entries(parts).flatMap(([kind, { options }]) =>
    Object.entries(options).map(([option, fact]) => [`${kind}.${option}`, fact] as const),
  ),
  ...Object.entries(runs),
];
