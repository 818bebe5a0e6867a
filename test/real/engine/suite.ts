import type { Deployment } from "@pulumi/pulumi/automation/index.js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Engine, type Package, type Setting, startEngine, type TestStack } from "./engine.ts";
import { type EngineCase, MATRIX, SECRET } from "./matrix.ts";
import type { Outcome } from "./outcome.ts";

/** How each of the repository's own programs is changed: what its handler does, and what its constructs are called. */
const PROGRAMS = {
  tasks: {
    handler: {
      file: "examples/async-task/report.ts",
      change: (text: string) => text.replace("page written", "page was written"),
    },
    rename: (text: string) => renamed(text, 'AsyncTask("reports"', 'AsyncTask("summaries"'),
  },
  videos: {
    handler: {
      file: "lib/handlers/video/transcode.ts",
      change: (text: string) => `${text}\nconsole.debug("changed");\n`,
    },
    rename: (text: string) => renamed(text, 'VideoTranscodePipeline("videos"', 'VideoTranscodePipeline("clips"'),
  },
  flows: {
    handler: {
      file: "examples/map-reduce-flow/counts.ts",
      change: (text: string) => text.replace("sum += value", "sum += Number(value)"),
    },
    rename: (text: string) =>
      [
        ['MapReduceFlow("counts"', 'MapReduceFlow("tallies"'],
        ['VideoTranscodePipeline("films"', 'VideoTranscodePipeline("clips"'],
        ['LargeObjectTransfer("copies"', 'LargeObjectTransfer("moves"'],
      ].reduce((all, [before, after]) => renamed(all, before!, after!), text),
  },
  streams: {
    handler: {
      file: "examples/kafka-etl-pipeline/undo.ts",
      change: (text: string) => text.replace("an order is taken back", "taken back"),
    },
    rename: (text: string) =>
      [
        ['KafkaEtlPipeline("orders"', 'KafkaEtlPipeline("sales"'],
        ['LogArchivePipeline("logs"', 'LogArchivePipeline("lines"'],
      ].reduce((all, [before, after]) => renamed(all, before!, after!), text),
  },
} as const;

/** A construct with another name, which keeps its id and says what it was called. */
function renamed(text: string, before: string, after: string): string {
  const [, name] = /"(.+)"/.exec(before)!;
  const start = text.indexOf(`new ${before}, {`);
  const end = text.indexOf("});\n", start);
  if (start < 0 || end < 0) throw new Error(`no construct begins with new ${before}, {`);
  const args = text.slice(start, end).replace(`${before}, {`, `${after}, { id: "${name}", `);
  return `${text.slice(0, start)}${args}}, { aliases: [{ name: "${name}" }] });\n${text.slice(end + 4)}`;
}

const withoutSql = (text: string): string => text.replace(/new MapReduceFlow\("orders", .+?^}\);\n/ms, "");

/** Deploys every stack to a cloud with the real engine and a stand-in of the cloud's provider. */
export function testEngine(cloud: Package): void {
  const target = MATRIX[cloud];
  const config = (stack: string): Readonly<Record<string, Setting>> => ({
    ...target.config,
    ...(stack === "streams" && target.kafka),
    "millrace:cloud": cloud,
    "millrace:stack": stack,
    "millrace:token": { secret: SECRET },
    token: { secret: SECRET },
  });
  let engine: Engine;
  beforeAll(async () => {
    engine = await startEngine(target.providers);
  });
  afterAll(() => engine?.close());

  for (const name of ["tasks", "videos", "flows", "streams"] as const) {
    describe(`stacks/${name}.ts on ${cloud}`, () => {
      const { handler, rename } = PROGRAMS[name];
      let stack: TestStack;
      let isNew: (key: string) => boolean;
      beforeAll(async () => {
        isNew = await newcomers(engine);
        if (name === "flows" && !target.sql) await engine.edit("stacks/flows.ts", withoutSql);
        stack = await engine.stack(name, "stacks/index.ts", config(name));
      });

      it("preview shows every resource that up makes", () => previewsAll(() => stack));

      it("up again changes nothing, and neither does its refresh", () => isStable(() => stack));

      // The same for every stack.
      if (name === "tasks")
        it("what vanished is missed by a refresh, and made again, alone", async () => {
          const { type, id } = (await engine.resources()).find(
            ({ type, id }) => type.endsWith(`:${target.function}`) && isNew(`${type} ${id}`),
          )!;
          await engine.lose(type, id);
          expect((await stack.refresh()).error).toBeUndefined();
          expect(resourcesIn(await stack.state()).filter((one) => one.id === id && one.type === type)).toEqual([]);
          const made = changesOf(await stack.up());
          expect(made.filter((line) => !line.startsWith("update "))).toEqual([
            expect.stringContaining(`create ${type}`),
          ]);
        });

      it("a changed handler changes its code and its function, nothing else", async () => {
        await engine.edit(handler.file, handler.change);
        const changes = changesOf(await stack.up()).map((line) => line.replace(/ \S+:/, " "));
        expect(changes.sort()).toEqual(target.changed[name].flatMap((one) => changed(target, one)).sort());
      });

      it("a construct that is renamed and keeps its id replaces nothing", async () => {
        const before = await keysOf(engine);
        await engine.edit(`stacks/${name}.ts`, rename);
        const changes = changesOf(await stack.up());
        expect(changes.length).toBeGreaterThan(0);
        const isRevision = (line: string) => target.revisions.some((type) => line.includes(`:${type} `));
        expect(changes.filter((line) => !line.startsWith("update ") && !isRevision(line))).toEqual([]);
        expect((await keysOf(engine)).filter((key) => !isRevision(key))).toEqual(
          before.filter((key) => !isRevision(key)),
        );
      });

      it("destroy keeps what holds data", async () => {
        expect((await stack.destroy()).error).toBeUndefined();
        expect(await leftOf(engine, isNew)).toEqual(target.keeps[name]);
      });
    });
  }

  describe(`every part on ${cloud}`, () => {
    let stack: TestStack;
    let isNew: (key: string) => boolean;
    beforeAll(async () => {
      isNew = await newcomers(engine);
      stack = await engine.stack("parts", "test/real/engine/programs/parts.ts", config("parts"));
    });

    it("preview shows every resource that up makes", () => previewsAll(() => stack));

    it("up again changes nothing, and neither does its refresh", () => isStable(() => stack));

    it("a secret is in no state as it is", async () => {
      const forms = [SECRET, Buffer.from(SECRET).toString("base64")];
      const isIn = (value: unknown) => forms.some((form) => JSON.stringify(value).includes(form));
      const state = await stack.state();
      expect(JSON.stringify(state).includes("ciphertext")).toBe(true);
      expect(isIn(state)).toBe(false);
      // It has come to the service: something was tried.
      expect(isIn(await engine.resources())).toBe(true);
    });

    it("destroy removes what may be removed, and keeps the rest", async () => {
      expect((await stack.destroy()).error).toBeUndefined();
      expect(await leftOf(engine, isNew)).toEqual(target.keeps.parts);
    });
  });
}

/** Code is an object by its content; what runs it is changed, or where it cannot be, is another revision. */
function changed({ code, revisions }: EngineCase, one: string): readonly string[] {
  const [type = "", name = ""] = one.split(" ");
  return [code, ...revisions].includes(type) ? replaced(type, name) : [`update ${one}`];
}

const replaced = (type: string, name: string): readonly string[] =>
  ["create-replacement", "delete-replaced", "replace"].map((op) => `${op} ${type} ${name}`);

async function previewsAll(stack: () => TestStack): Promise<void> {
  const shown = linesOf(await stack().preview());
  const made = linesOf(await stack().up());
  expect(made.length).toBeGreaterThan(10);
  expect(made.filter((line) => !line.startsWith("create "))).toEqual([]);
  expect(shown).toEqual(made);
}

async function isStable(stack: () => TestStack): Promise<void> {
  const before = resourcesIn(await stack().state());
  expect(changesOf(await stack().up({ refresh: true }))).toEqual([]);
  expect(resourcesIn(await stack().state())).toEqual(before);
}

/** Steps that change something, as `update alicloud:oss/bucket:Bucket uploads`, in the alphabet's order. */
const changesOf = (outcome: Outcome): readonly string[] =>
  linesOf(outcome).filter((line) => !/^(same|refresh) /.test(line));

function linesOf({ steps, error }: Outcome): readonly string[] {
  expect(error).toBeUndefined();
  return steps.map(({ op, type, name }) => `${op} ${type} ${name}`).sort();
}

interface StateResource {
  readonly urn: string;
  readonly type: string;
  readonly id?: string;
  readonly inputs?: unknown;
  readonly outputs?: unknown;
}

/** What the state says of each resource, without when it said so and how its secrets are encrypted this time. */
const resourcesIn = ({ deployment }: Deployment): readonly StateResource[] =>
  (deployment.resources as readonly StateResource[])
    .map(({ urn, type, id, inputs, outputs }) => ({ urn, type, ...(id !== undefined && { id }), inputs, outputs }))
    .map((one) => JSON.parse(JSON.stringify(one, (field, value) => (field === "ciphertext" ? "" : value))))
    .sort((a, b) => (a.urn < b.urn ? -1 : 1));

const keysOf = async (engine: Engine): Promise<readonly string[]> =>
  (await engine.resources()).map(({ type, id }) => `${type} ${id}`).sort();

/** Whether a resource came after now. */
async function newcomers(engine: Engine): Promise<(key: string) => boolean> {
  const before = new Set(await keysOf(engine));
  return (key) => !before.has(key);
}

/** What is left of a stack, as `Bucket videos-uploads`: without the hashes and numbers of the names. */
const leftOf = async (engine: Engine, isNew: (key: string) => boolean): Promise<readonly string[]> =>
  (await keysOf(engine))
    .filter(isNew)
    .map((key) => key.replace(/^\S+:/, "").replaceAll(/[-_][a-z0-9]{8}(?=:|$)/g, ""))
    .map((key) => key.replace(/ (nas|mount|rule|fs|fsap)-\d+/, " $1"))
    .sort();
