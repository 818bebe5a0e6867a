import { expect, test } from "vitest";
import { AsyncTask } from "../../lib/constructs/async-task.ts";
import { Construct, type ConstructArgs } from "../../lib/parts/construct.ts";
import {
  code,
  created,
  cron,
  every,
  type Link,
  type Queue,
  read,
  received,
  send,
  write,
} from "../../lib/parts/index.ts";
import type { Bucket } from "../../lib/parts/part.ts";
import type { BucketCreated, FunctionInvoked } from "../../lib/runtime/events.ts";
import type { Handler } from "../../lib/runtime/handler.ts";
import type { BucketReader, BucketWriter } from "../../lib/runtime/ports.ts";
import type { Envelope } from "../../lib/runtime/tasks/envelope.ts";
import { formatProblem, ProblemsError } from "../../lib/shared/problem.ts";
import { graphOf, recordingCloud } from "../recording.ts";

interface Module<H> {
  readonly handler: H;
}
type Plain = Handler<FunctionInvoked<{ readonly text: string }>>;
type Resize = Handler<
  FunctionInvoked<{ readonly key: string }>,
  { readonly from: BucketReader; readonly to: BucketWriter },
  { readonly width: number }
>;
const PLAIN = code<Module<Plain>>("/app/plain.ts");
const RESIZE = code<Module<Resize>>("/app/resize.ts");
const HOOK = code<Module<Handler<FunctionInvoked<Envelope>>>>("/app/alert.ts");

/** Buckets and a queue of a user's, in a construct of its own. */
class Store extends Construct {
  readonly photos: Bucket;
  readonly thumbs: Bucket;
  readonly orders: Queue;

  constructor(name: string, args: ConstructArgs) {
    super("Store", name, args);
    this.photos = this.bucket("photos");
    this.thumbs = this.bucket("thumbs");
    this.orders = this.queue("orders");
    this.build();
  }
}

test("the graph of a task that only submits start", () => {
  const cloud = recordingCloud();
  new AsyncTask("resize", { cloud, handler: PLAIN });
  expect(graphOf(cloud)).toMatchInlineSnapshot(`
    [
      "queue resize-failures",
      "function resize-task-work | user code plain.ts",
      "task resize-task | work resize-task-work | dispatch resize-task-dispatch | failure to queue resize-failures",
      "function resize-task-dispatch | tasks/dispatch | task: task.submit resize-task",
      "monitor resize-alarms | resize-task failures > 0",
    ]
  `);
});

test("alarms go where the user says, or nowhere by name", () => {
  const cloud = recordingCloud();
  const store = new Store("store", { cloud });
  new AsyncTask("told", { cloud, handler: PLAIN, notify: [store.orders] });
  new AsyncTask("silent", { cloud, handler: PLAIN, notify: "nobody" });
  const monitors = ["told-alarms", "silent-alarms"].map((name) => cloud.parts.get(name)?.plan);
  expect(monitors).toMatchObject([
    { alarms: [{ part: "told-task", metric: "failures" }], notify: [{ kind: "queue", name: "store-orders" }] },
    { alarms: [], notify: [] },
  ]);
});

test("the graph with links, sources and destinations", () => {
  const cloud = recordingCloud();
  const store = new Store("store", { cloud });
  new AsyncTask("resize", {
    cloud,
    handler: RESIZE,
    links: { from: read(store.photos), to: write(store.thumbs) },
    settings: { width: 320 },
    when: [created(store.photos, { suffix: ".jpg" }), received(store.orders), every("1 hour")],
    onSuccess: store.orders,
    onFailure: [HOOK, { code: HOOK, links: { orders: send(store.orders) } }],
  });
  expect(graphOf(cloud)).toMatchInlineSnapshot(`
    [
      "bucket store-photos",
      "bucket store-thumbs",
      "queue store-orders",
      "queue resize-failures",
      "function resize-task-work | user code resize.ts | from: bucket.read store-photos | to: bucket.write store-thumbs",
      "function resize-task-on-failure-1 | user code alert.ts",
      "function resize-task-on-failure-2 | user code alert.ts | orders: queue.send store-orders",
      "task resize-task | work resize-task-work | dispatch resize-task-dispatch | success to queue store-orders | failure to queue resize-failures | failure to function resize-task-on-failure-1 | failure to function resize-task-on-failure-2",
      "schedule resize-task-dispatch-schedule-3 | every 3600 s",
      "function resize-task-dispatch | tasks/dispatch | on bucket.created store-photos *.jpg | on queue.received store-orders by 1 | on schedule.fired resize-task-dispatch-schedule-3 | task: task.submit resize-task",
      "monitor resize-alarms | resize-task failures > 0",
    ]
  `);
});

test("the same graph on every cloud", () => {
  const graphs = (["local", "alicloud", "aws", "kubernetes"] as const).map((kind) => {
    const cloud = recordingCloud(kind);
    new AsyncTask("resize", { cloud, handler: PLAIN, when: cron("0 4 * * *"), timeout: "12 hours" });
    return graphOf(cloud);
  });
  for (const graph of graphs) expect(graph).toEqual(graphs[0]);
});

test("behavior reaches the plan, in seconds", () => {
  const cloud = recordingCloud();
  new AsyncTask("resize", {
    cloud,
    handler: PLAIN,
    timeout: "2 hours",
    grace: "1 minute",
    attempts: 5,
    backoff: { first: "2 seconds", longest: "10 minutes" },
    concurrency: 10,
    expires: "1 day",
    retention: "30 days",
    memory: "1 GB",
    tools: ["ffmpeg"],
  });
  const plans = new Map(cloud.built.map(({ name, plan }) => [name, plan]));
  expect(plans.get("resize-task")).toMatchObject({
    timeout: 7200,
    grace: 60,
    attempts: 5,
    backoff: { first: 2, factor: 2, longest: 600 },
    concurrency: 10,
    expires: 86_400,
    retention: 30 * 86_400,
    onFailure: [{ kind: "queue", name: "resize-failures" }],
  });
  expect(plans.get("resize-task-work")).toMatchObject({
    timeout: 7200,
    attempts: 1,
    memory: 2 ** 30,
    tools: ["ffmpeg"],
    role: { task: "resize-task", duty: "worker" },
  });
  expect(plans.get("resize-task-dispatch")).toMatchObject({
    timeout: 60,
    role: { task: "resize-task", duty: "dispatcher" },
  });
});

const refusalsOf = (make: () => unknown): readonly string[] => {
  try {
    make();
  } catch (error) {
    if (error instanceof ProblemsError) return error.problems.map(formatProblem);
    throw error;
  }
  return [];
};

test("what no cloud does is refused, all at once", () => {
  const cloud = recordingCloud();
  const wrong = { timeout: "25 hours", attempts: 0, concurrency: 0, backoff: { factor: 0 } } as const;
  expect(refusalsOf(() => new AsyncTask("resize", { cloud, handler: PLAIN, ...wrong }))).toMatchInlineSnapshot(`
    [
      "resize-task.timeout: outside what Local allows (given "25 hours"; allowed: 1 second to 1 day)",
      "resize-task.attempts: outside what Local allows (given 0; allowed: at least 1, whole)",
      "resize-task.concurrency: outside what Local allows (given 0; allowed: at least 1, whole)",
      "resize-task.backoff.factor: a wait grows from the first to the longest (given 0; allowed: at least 1)",
    ]
  `);
  expect(cloud.built).toEqual([]);
});

test("an option that there is not is refused, not ignored", () => {
  const given = {
    cloud: recordingCloud(),
    id: "resize",
    handler: PLAIN,
    timout: "2 hours",
    backoff: { fist: "1 second" },
    onSuccess: { code: PLAIN, tries: 5 },
  };
  expect(refusalsOf(() => new AsyncTask("resize", given as never))).toEqual([
    "resize-task.timout: there is no such option",
    "resize-task.backoff.fist: there is no such option",
    "resize-task-on-success.tries: there is no such option",
  ]);
});

test("what one cloud refuses is refused there only", () => {
  const large = { disk: "1 GB", attempts: 10, expires: "2 days" } as const;
  const on = (kind: "alicloud" | "aws") =>
    refusalsOf(() => new AsyncTask("resize", { cloud: recordingCloud(kind), handler: PLAIN, ...large }));
  expect(on("aws")).toEqual([]);
  expect(on("alicloud")).toMatchInlineSnapshot(`
    [
      "resize-task-work.disk: outside what Alibaba Cloud allows: diskSize, one of two sizes (given "1 GB"; allowed: 512 MB, 10 GB)",
    ]
  `);
});

test("types: links, settings, sources and handlers fit together or do not compile", () => {
  const cloud = recordingCloud();
  const store = new Store("store", { cloud });
  const links = { from: read(store.photos), to: write(store.thumbs) };
  const settings = { width: 320 };
  // None of these is called: the types alone are tried.
  const tried = [
    () => new AsyncTask("right", { cloud, handler: RESIZE, links, settings }),
    () => new AsyncTask("right", { cloud, handler: PLAIN }),
    () =>
      new AsyncTask("right", { cloud, handler: code<Module<(event: FunctionInvoked) => Promise<void>>>("/app/x.ts") }),

    // @ts-expect-error a reader where the handler writes
    () => new AsyncTask("wrong", { cloud, handler: RESIZE, links: { ...links, to: read(store.thumbs) }, settings }),
    // @ts-expect-error a queue where the handler reads objects
    () => new AsyncTask("wrong", { cloud, handler: RESIZE, links: { ...links, from: send(store.orders) }, settings }),
    // @ts-expect-error a link is missing
    () => new AsyncTask("wrong", { cloud, handler: RESIZE, links: { from: links.from }, settings }),
    // @ts-expect-error all links are missing
    () => new AsyncTask("wrong", { cloud, handler: RESIZE, settings }),
    // @ts-expect-error a setting is missing
    () => new AsyncTask("wrong", { cloud, handler: RESIZE, links, settings: {} }),
    // @ts-expect-error a setting of another type
    () => new AsyncTask("wrong", { cloud, handler: RESIZE, links, settings: { width: "320" } }),
    // @ts-expect-error a bucket is no source; created(bucket) is
    () => new AsyncTask("wrong", { cloud, handler: RESIZE, links, settings, when: store.photos }),
    // @ts-expect-error a task's worker gets submitted payloads, not bucket events
    () => new AsyncTask("wrong", { cloud, handler: code<Module<Handler<BucketCreated>>>("/app/x.ts") }),
    // @ts-expect-error a module without `handler`
    () => new AsyncTask("wrong", { cloud, handler: code<{ readonly run: Plain }>("/app/x.ts") }),
    // @ts-expect-error a module whose handler is no function
    () => new AsyncTask("wrong", { cloud, handler: code<Module<string>>("/app/x.ts") }),
    // @ts-expect-error no handler of ours has this id
    () => new AsyncTask("wrong", { cloud, handler: "video/transmogrify" }),
    // @ts-expect-error a relative path is no code
    () => new AsyncTask("wrong", { cloud, handler: "./resize.ts" }),
    // @ts-expect-error a duration needs a unit
    () => new AsyncTask("wrong", { cloud, handler: PLAIN, timeout: "15" }),
    // @ts-expect-error an option nobody knows
    () => new AsyncTask("wrong", { cloud, handler: PLAIN, retries: 3 }),
    () =>
      new AsyncTask("wrong", {
        cloud,
        handler: PLAIN,
        // @ts-expect-error a hook is told of envelopes
        onFailure: code<Module<Handler<BucketCreated>>>("/app/x.ts"),
      }),
    // @ts-expect-error a bucket is no destination
    () => new AsyncTask("wrong", { cloud, handler: PLAIN, onSuccess: store.photos }),
  ];
  const link: Link<BucketReader> = links.from;
  expect(link.part).toBe(store.photos);
  expect(tried).toHaveLength(19);
});
