import * as pulumi from "@pulumi/pulumi";
import { afterEach, expect, test } from "vitest";
import { planOf, startEvaluation } from "../../lib/parts/cloud.ts";
import { type Code, code } from "../../lib/parts/code.ts";
import { Construct, type ConstructArgs } from "../../lib/parts/construct.ts";
import { read, send, write } from "../../lib/parts/link.ts";
import type { Bucket, FunctionPart, Queue } from "../../lib/parts/part.ts";
import { created, cron, every, received } from "../../lib/parts/source.ts";
import type { BucketCreated, ScheduleFired } from "../../lib/runtime/events.ts";
import type { Handler } from "../../lib/runtime/handler.ts";
import type { BucketReader, BucketWriter, QueueSender } from "../../lib/runtime/ports.ts";
import { type Problem, ProblemsError } from "../../lib/shared/problem.ts";
import { graphOf, known, PROJECT, recordingCloud, STACK } from "../recording.ts";

type Copy = Handler<
  BucketCreated,
  { readonly from: BucketReader; readonly to: BucketWriter; readonly done: QueueSender },
  { readonly level: number }
>;
const COPY: Code<{ readonly handler: Copy }> = code("/app/copy.ts");

/** A user's module that handles that event and asks for nothing. */
interface Module<Event> {
  readonly handler: Handler<Event>;
}

interface CopierArgs extends ConstructArgs {
  readonly memory?: `${number} MB`;
  readonly timeout?: `${number} seconds`;
  readonly retention?: `${number} days`;
  readonly problems?: readonly Problem[];
}

/** A construct as users write them. */
class Copier extends Construct {
  readonly from: Bucket;
  readonly to: Bucket;
  readonly done: Queue;
  readonly copy: FunctionPart;
  /** What asking for an output before the build says. */
  readonly early: unknown;

  constructor(name: string, args: CopierArgs = {}, opts?: pulumi.ComponentResourceOptions) {
    super("Copier", name, args, opts);
    this.from = this.bucket("from");
    this.to = this.bucket("to", { existing: "the-archive" });
    this.done = this.queue("done", { ...(args.retention && { retention: args.retention }) });
    this.copy = this.function<Copy>("copy", {
      handler: COPY,
      when: created(this.from, { suffix: ".txt" }),
      links: { from: read(this.from), to: write(this.to), done: send(this.done) },
      settings: { level: 3 },
      ...(args.memory && { memory: args.memory }),
      ...(args.timeout && { timeout: args.timeout }),
    });
    try {
      this.early = this.from.id;
    } catch (error) {
      this.early = error;
    }
    this.build(args.problems);
  }
}

const problemsOf = (make: () => unknown): readonly Problem[] => {
  try {
    make();
  } catch (error) {
    if (error instanceof ProblemsError) return error.problems;
    throw error;
  }
  return [];
};

afterEach(() => {
  delete (globalThis as { [key: symbol]: unknown })[Symbol.for("millrace.evaluation")];
});

test("parts are built in the order they were declared, links are permissions", () => {
  const cloud = recordingCloud();
  new Copier("copier", { cloud });
  expect(graphOf(cloud)).toEqual([
    "bucket copier-from",
    "bucket copier-to",
    "queue copier-done",
    "function copier-copy | user code copy.ts | on bucket.created copier-from *.txt | from: bucket.read copier-from | to: bucket.write copier-to | done: queue.send copier-done",
  ]);
});

test("the plan holds everything as plain JSON", () => {
  const cloud = recordingCloud("aws", { region: "eu-central-1" });
  new Copier("copier", { cloud, memory: "1024 MB" });
  const plan = planOf([cloud]);
  expect(JSON.parse(JSON.stringify(plan))).toEqual(plan);
  expect(plan).toMatchObject({
    version: 1,
    project: PROJECT,
    stack: STACK,
    clouds: [{ name: "aws-eu-central-1", kind: "aws", region: "eu-central-1" }],
    constructs: [{ name: "copier", type: "Copier", id: "copier", cloud: "aws-eu-central-1" }],
  });
  expect(plan.parts.find(({ name }) => name === "copier-copy")).toMatchObject({
    kind: "function",
    handler: { file: "/app/copy.ts" },
    settings: { level: 3 },
    memory: 2 ** 30,
    timeout: 60,
    links: { from: { part: "copier-from", actions: ["bucket.read"] } },
  });
});

test("a bare timing gets a schedule part of its own, before the function it starts", () => {
  class Ticker extends Construct {
    constructor(name: string, args: ConstructArgs) {
      super("Ticker", name, args);
      this.function("tick", {
        handler: code<Module<ScheduleFired>>("/app/tick.ts"),
        when: [every("5 minutes"), every("1 hour")],
      });
      this.build();
    }
  }
  const cloud = recordingCloud();
  new Ticker("ticker", { cloud });
  expect(graphOf(cloud)).toEqual([
    "schedule ticker-tick-schedule-1 | every 300 s",
    "schedule ticker-tick-schedule-2 | every 3600 s",
    "function ticker-tick | user code tick.ts | on schedule.fired ticker-tick-schedule-1 | on schedule.fired ticker-tick-schedule-2",
  ]);
});

test("all problems come at once, the construct's own first, and nothing is built", () => {
  const cloud = recordingCloud("aws");
  const own = { path: "copier.sizes", message: "name at least one" };
  const problems = problemsOf(
    () =>
      new Copier("copier", { cloud, memory: "64 MB", timeout: "901 seconds", retention: "15 days", problems: [own] }),
  );
  expect(problems.map(({ path }) => path)).toEqual([
    "copier.sizes",
    "copier-done.retention",
    "copier-copy.timeout",
    "copier-copy.memory",
  ]);
  expect(problems[1]).toMatchObject({ given: "15 days", allowed: "1 minute to 14 days, whole" });
  expect(cloud.built).toEqual([]);
});

test("numbers that cannot be read name their field, together with all else that is wrong", () => {
  const problems = problemsOf(
    () =>
      new Copier("copier", {
        cloud: recordingCloud("aws"),
        memory: "-1 MB",
        timeout: "1e3 seconds",
        retention: "99 days",
      }),
  );
  expect(problems.map(({ path }) => path)).toEqual([
    "copier-copy.timeout",
    "copier-copy.memory",
    "copier-done.retention",
  ]);
  expect(problems[1]?.message).toContain('got "-1 MB"');
});

test("while a program is evaluated, problems are gathered over all constructs", () => {
  const evaluation = startEvaluation();
  const cloud = recordingCloud("aws");
  new Copier("one", { cloud, memory: "64 MB" });
  new Copier("two", { cloud });
  new Copier("three", { cloud, timeout: "901 seconds" });
  expect(evaluation.clouds).toEqual([cloud]);
  expect(evaluation.problems.map(({ path }) => path)).toEqual(["one-copy.memory", "three-copy.timeout"]);
  expect(new Set(cloud.built.map(({ plan }) => plan.construct))).toEqual(new Set(["two"]));
});

test("outputs are there once the construct is built, and say so before", async () => {
  const copier = new Copier("copier", { cloud: recordingCloud() });
  expect(copier.early).toEqual(
    new Error("copier-from: its outputs are there once the construct is built, at the end of its constructor"),
  );
  expect(copier.from.isBuilt).toBe(true);
  expect(await known(copier.from.id)).toMatch(/^copier-from-[a-z0-9]{8}$/);
  expect(await known(copier.from.address.name!)).toBe(await known(copier.from.id));
});

test("an existing part keeps the name it has", async () => {
  const copier = new Copier("copier", { cloud: recordingCloud() });
  expect(await known(copier.to.id)).toBe("the-archive");
});

test("physical names stay through a rename that keeps the id, and only then", async () => {
  const before = await known(new Copier("old", { cloud: recordingCloud() }).from.id);
  expect(await known(new Copier("new", { cloud: recordingCloud(), id: "old" }).from.id)).toBe(before);
  expect(await known(new Copier("new", { cloud: recordingCloud() }).from.id)).not.toBe(before);
});

test("raw resources are children of their construct, under names that never change", async () => {
  const cloud = recordingCloud();
  const copier = new Copier("copier", { cloud });
  const urns = await Promise.all(
    [copier, copier.from.resources.resource!, copier.copy.resources.resource!].map(({ urn }) => known(urn)),
  );
  expect(urns).toEqual([
    "urn:pulumi:test::recording::millrace:constructs:Copier::copier",
    "urn:pulumi:test::recording::millrace:constructs:Copier$recording:index:bucket::copier-from",
    "urn:pulumi:test::recording::millrace:constructs:Copier$recording:index:function::copier-copy",
  ]);
});

test("a construct takes its parent's cloud, unless it names its own", () => {
  const cloud = recordingCloud();
  const other = recordingCloud("aws");
  const parent = new Copier("parent", { cloud });
  const child = new Copier("child", {}, { parent });
  const stray = new Copier("stray", { cloud: other }, { parent });
  expect(child.cloud).toBe(cloud);
  expect(child.plan.parent).toBe("parent");
  expect(stray.cloud).toBe(other);
});

test("without a cloud it says what to write", () => {
  expect(() => new Copier("copier")).toThrow("copier.cloud: name the cloud it runs on, for example { cloud: local() }");
});

test("two constructs of one name are refused", () => {
  const cloud = recordingCloud();
  new Copier("copier", { cloud });
  expect(() => new Copier("copier", { cloud })).toThrow("copier: there is a construct of this name already");
});

test("two parts of one name are refused, also across constructs", () => {
  class Twice extends Construct {
    constructor(name: string, args: ConstructArgs, ...ids: string[]) {
      super("Twice", name, args);
      for (const id of ids) this.bucket(id);
      this.build();
    }
  }
  const cloud = recordingCloud();
  expect(() => new Twice("a", { cloud }, "b", "b")).toThrow("a-b: there is a part of this name already");
  new Twice("x", { cloud }, "y-z");
  expect(() => new Twice("x-y", { cloud }, "z")).toThrow("x-y-z: there is a part of this name already");
});

test("a part of another cloud can be linked, but starts nothing here", () => {
  const elsewhere = new Copier("elsewhere", { cloud: recordingCloud("aws") });
  class Watcher extends Construct {
    constructor(name: string, args: ConstructArgs) {
      super("Watcher", name, args);
      this.function("watch", {
        handler: code<Module<BucketCreated>>("/app/watch.ts"),
        when: created(elsewhere.from),
        failures: elsewhere.done,
      });
      this.build();
    }
  }
  expect(problemsOf(() => new Watcher("watcher", { cloud: recordingCloud() }))).toEqual([
    { path: "watcher-watch.failures", message: "must be on the same cloud, Local", given: "elsewhere-done" },
    { path: "watcher-watch.when", message: "must be on the same cloud, Local", given: "elsewhere-from" },
  ]);
});

test("a stack's output holds the plan and every address, for the CLI and clients", async () => {
  const cloud = recordingCloud();
  new Copier("copier", { cloud });
  const { plan, addresses } = await known(cloud.output);
  expect(plan).toEqual(planOf([cloud]));
  expect(Object.keys(addresses)).toEqual(["copier-from", "copier-to", "copier-done", "copier-copy"]);
  expect(addresses["copier-to"]).toEqual({ kind: "bucket", name: "the-archive" });
  expect(pulumi.Output.isInstance(cloud.output)).toBe(true);
});

test.each(["../up", "a/b", "re ports", ".hidden", "a\nb", "x".repeat(101)])(
  "a construct's name becomes names and folders: %j is refused",
  async (name) => {
    await expect(async () => new Copier(name, { cloud: await recordingCloud() })).rejects.toThrow(
      "a construct's name has letters",
    );
  },
);

test("a queue's attempts without dead letters are no promise anybody keeps", async () => {
  class Lonely extends Construct {
    constructor(args: ConstructArgs) {
      super("Lonely", "lonely", args);
      this.queue("work", { attempts: 3 });
      this.build();
    }
  }
  await expect(async () => new Lonely({ cloud: await recordingCloud() })).rejects.toThrow(
    "lonely-work.attempts: does nothing without deadLetters (given 3)",
  );
});

test("an option that is none is refused in every part, misspelt or not", () => {
  class Everything extends Construct {
    constructor(name: string, args: ConstructArgs) {
      super("Everything", name, args);
      const typo = { removeable: true } as object;
      const bucket = this.bucket("bucket", typo);
      this.queue("queue", typo);
      this.table("table", typo);
      this.volume("volume", typo);
      this.secret("secret", { config: "key", ...typo });
      this.schedule("schedule", { timing: every("1 hour"), ...typo });
      const alarm = { part: bucket, metric: "failures", above: 0, ...typo } as const;
      this.monitor("monitor", { alarms: [alarm], ...typo });
      this.build();
    }
  }
  const problems = problemsOf(() => new Everything("all", { cloud: recordingCloud() }));
  expect(problems.map(({ path }) => path)).toEqual([
    "all-bucket.removeable",
    "all-queue.removeable",
    "all-table.removeable",
    "all-volume.removeable",
    "all-secret.removeable",
    "all-schedule.removeable",
    "all-monitor.removeable",
    "all-monitor.alarms[0].removeable",
  ]);
});

test("an option that is none is refused in every source", () => {
  const copier = new Copier("copier", { cloud: recordingCloud() });
  const typo = { sufix: ".mp4" } as object;
  for (const make of [
    () => created(copier.from, typo),
    () => received(copier.done, typo),
    () => cron("0 4 * * *", typo),
  ]) {
    expect(problemsOf(make).map(({ message }) => message)).toEqual(["there is no such option"]);
  }
});
