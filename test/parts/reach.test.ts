import { afterEach, expect, test } from "vitest";
import { outputOf, planOf, startEvaluation, stopEvaluation } from "../../lib/parts/cloud.ts";
import { type Code, code } from "../../lib/parts/code.ts";
import { Construct, type ConstructArgs } from "../../lib/parts/construct.ts";
import { all, type Link, type ReachOptions, read, remove, send, write } from "../../lib/parts/link.ts";
import type { Bucket, FunctionPart, Queue, Secret } from "../../lib/parts/part.ts";
import type { FunctionInvoked } from "../../lib/runtime/events.ts";
import type { Handler } from "../../lib/runtime/handler.ts";
import { type Problem, ProblemsError } from "../../lib/shared/problem.ts";
import { known, type RecordingCloud, recordingCloud } from "../recording.ts";

afterEach(stopEvaluation);

/** What others are linked to. */
class Store extends Construct {
  readonly files: Bucket;
  readonly jobs: Queue;
  readonly keys: Secret;

  constructor(name: string, args: ConstructArgs) {
    super("Store", name, args);
    this.files = this.bucket("files");
    this.jobs = this.queue("jobs");
    this.keys = this.secret("keys", { config: "keys" });
    this.build();
  }
}

/** A function with any links at all. */
class User extends Construct {
  readonly work: FunctionPart;

  constructor(name: string, { links, ...args }: ConstructArgs & { readonly links: Readonly<Record<string, Link>> }) {
    super("User", name, args);
    const spec = { handler: code("/app/work.ts") as Code<{ readonly handler: Handler<FunctionInvoked> }>, links };
    this.work = this.function("work", spec as never);
    this.build();
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

function twoClouds(): { readonly here: RecordingCloud; readonly there: RecordingCloud } {
  const here = recordingCloud("alicloud", { region: "cn-hangzhou", account: "1" });
  return { here, there: recordingCloud("aws", { region: "eu-central-1" }) };
}

const linksOf = (cloud: RecordingCloud, name: string) => {
  const plan = planOf([cloud]).parts.find((part) => part.name === name);
  return plan?.kind === "function" ? plan.links : undefined;
};

test("a bucket of another region of the same account is linked as any other, by the function's role", async () => {
  const here = recordingCloud("alicloud", { region: "cn-hangzhou", account: "1" });
  const there = recordingCloud("alicloud", { region: "cn-beijing", account: "1" });
  const { files } = new Store("store", { cloud: there });
  new User("user", { cloud: here, links: { files: read(files) } });
  expect(linksOf(here, "user-work")).toEqual({
    files: { part: "store-files", actions: ["bucket.read"], cloud: "alicloud-cn-beijing" },
  });
  expect(here.find("store-files")).toBe(files);
  expect([...here.parts.keys()]).not.toContain("store-files");
});

test("a bucket of another cloud is reached by keys, whose secret is linked beside it", () => {
  const { here, there } = twoClouds();
  const { files } = new Store("store", { cloud: there });
  const { keys } = new Store("own", { cloud: here });
  const reach: ReachOptions = { keys };
  new User("user", {
    cloud: here,
    links: { files: all(read(files, reach), write(files, reach)), old: remove(files, reach) },
  });
  expect(linksOf(here, "user-work")).toEqual({
    files: {
      part: "store-files",
      actions: ["bucket.read", "bucket.write"],
      cloud: "aws-eu-central-1",
      keys: "own-keys",
    },
    old: { part: "store-files", actions: ["bucket.remove"], cloud: "aws-eu-central-1", keys: "own-keys" },
    "$keys.own-keys": { part: "own-keys", actions: ["secret.read"] },
  });
});

test("what roles do not reach is refused without keys, with words", () => {
  const { here, there } = twoClouds();
  const { files, keys } = new Store("store", { cloud: there });
  expect(problemsOf(() => new User("user", { cloud: here, links: { files: read(files) } }))).toEqual([
    {
      path: "user-work.links.files",
      message: "the role of a function on alicloud-cn-hangzhou does not reach this bucket",
      given: "store-files on aws-eu-central-1",
      allowed: "keys to it, in a secret on alicloud-cn-hangzhou: read(bucket, { keys: secret })",
    },
  ]);
  expect(here.built).toEqual([]);
  const stranger = recordingCloud("alicloud", { region: "cn-beijing", account: "2" });
  const { files: theirs } = new Store("theirs", { cloud: stranger });
  expect(problemsOf(() => new User("second", { cloud: here, links: { files: write(theirs) } }))).toMatchObject([
    { path: "second-work.links.files", given: "theirs-files on alicloud-cn-beijing" },
  ]);
  expect(problemsOf(() => new User("third", { cloud: here, links: { files: read(files, { keys }) } }))).toEqual([
    {
      path: "third-work.links.files",
      message: "keys lie in a secret of the function's own cloud, alicloud-cn-hangzhou",
      given: "store-keys",
    },
  ]);
});

test("of other clouds nothing but buckets is linked, and nothing starts functions", () => {
  const { here, there } = twoClouds();
  const { jobs, keys } = new Store("store", { cloud: there });
  const links = { jobs: send(jobs), keys: read(keys) };
  expect(problemsOf(() => new User("user", { cloud: here, links }))).toEqual([
    {
      path: "user-work.links.jobs",
      message: "of another cloud, a function is linked to buckets alone, and this is a queue",
      given: "store-jobs on aws-eu-central-1",
      allowed: "a bucket, or a queue on alicloud-cn-hangzhou",
    },
    expect.objectContaining({ path: "user-work.links.keys" }),
  ]);
});

test("a bucket of the same cloud may be reached by keys too: it may be another account's", () => {
  const cloud = recordingCloud("aws", { region: "eu-central-1" });
  const { files, keys } = new Store("store", { cloud });
  new User("user", { cloud, links: { files: read(files, { keys }) } });
  expect(linksOf(cloud, "user-work")).toMatchObject({ files: { keys: "store-keys" }, "$keys.store-keys": {} });
});

test("keys are for buckets, and lie in secrets; one link has one way", () => {
  const { files, jobs, keys } = new Store("store", { cloud: recordingCloud() });
  expect(() => read(keys as never, { keys })).toThrow("read: keys are for buckets, and store-keys is a secret");
  expect(() => write(files, { keys: jobs as never })).toThrow("write: keys lie in a secret, and store-jobs is a queue");
  expect(() => all(read(files, { keys }), write(files))).toThrow("all: links store-files in one way");
});

test("a cloud is there once in a program", () => {
  const evaluation = startEvaluation();
  recordingCloud("aws", { region: "eu-central-1" });
  expect(problemsOf(() => recordingCloud("aws", { region: "eu-central-1" }))).toEqual([
    { path: "aws-eu-central-1", message: expect.stringContaining("this cloud is there already: make it once") },
  ]);
  expect(recordingCloud("aws", { region: "us-east-1" }).plan.name).toBe("aws-us-east-1");
  expect(evaluation.clouds).toHaveLength(2);
});

test("names and ids are unique over all clouds of a program", () => {
  startEvaluation();
  const { here, there } = twoClouds();
  new Store("store", { cloud: here });
  expect(() => new Store("store", { cloud: there })).toThrow("store: there is a construct of this name already");
  expect(() => new Store("other", { cloud: there, id: "store" })).toThrow(
    'other.id: a construct on another cloud has the id "store" already',
  );
});

test("the output of several clouds has the plan and the addresses of all", async () => {
  const { here, there } = twoClouds();
  new Store("one", { cloud: here });
  new Store("two", { cloud: there });
  const { plan, addresses } = await known(outputOf(here, there));
  expect(plan.clouds.map(({ name }) => name)).toEqual(["alicloud-cn-hangzhou", "aws-eu-central-1"]);
  expect(plan.parts.map(({ name, cloud }) => `${name} ${cloud}`)).toEqual([
    "one-files alicloud-cn-hangzhou",
    "one-jobs alicloud-cn-hangzhou",
    "one-keys alicloud-cn-hangzhou",
    "two-files aws-eu-central-1",
    "two-jobs aws-eu-central-1",
    "two-keys aws-eu-central-1",
  ]);
  expect(Object.keys(addresses)).toEqual(plan.parts.map(({ name }) => name));
  expect(addresses["two-files"]).toMatchObject({ kind: "bucket", name: expect.stringMatching(/^two-files-/) });
  expect(await known(here.output)).toMatchObject({ plan: { clouds: [{ name: "alicloud-cn-hangzhou" }] } });

  const apart = recordingCloud("kubernetes");
  new Store("one", { cloud: apart });
  expect(problemsOf(() => outputOf(here, apart)).map(({ path }) => path)).toEqual([
    "one-files",
    "one-jobs",
    "one-keys",
  ]);
});
