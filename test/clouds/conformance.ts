import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type Bucket,
  type Cloud,
  Construct,
  code,
  control,
  cron,
  every,
  type FunctionPart,
  fired,
  invoke,
  type Link,
  mount,
  type Queue,
  read,
  receive,
  received,
  remove,
  type Secret,
  send,
  submit,
  type Table,
  type TaskPart,
  type Volume,
  write,
} from "../../lib/parts/index.ts";
import type { Action } from "../../lib/parts/plan.ts";
import type { RegisteredResource } from "../../lib/program/mocks.ts";

/** A cloud under test: its parts as resources, on typed mocks. */
export interface CloudSubject {
  readonly name: string;
  /** Everything a program registers, in the order it was registered; `transform` sees each before it is made. */
  deploy(
    declare: (cloud: Cloud) => unknown,
    options?: { readonly transform?: (type: string, name: string) => undefined },
  ): Promise<readonly RegisteredResource[]>;
  /** What the function of that logical name may do; absent where the cloud's own permissions know nothing of links. */
  readonly verbsOf?: (resources: readonly RegisteredResource[], functionName: string) => readonly string[];
  /** What each action is there. */
  readonly actions?: Readonly<Record<Action, readonly string[]>>;
  /** Verbs that a link brings besides, for what it needs around it. @default none */
  readonly around?: Readonly<Partial<Record<Action, readonly string[]>>>;
  /** The environment of a function, whatever holds it there. */
  environmentOf(resources: readonly RegisteredResource[], functionName: string): Readonly<Record<string, string>>;
  /** Labels or tags of a resource; undefined where its type has none. */
  labelsOf(resource: RegisteredResource): Readonly<Record<string, string>> | undefined;
  /** Types whose resources hold a secret's value. */
  readonly vaults: readonly string[];
}

const echo = code<{ handler: (event: unknown, context: unknown) => Promise<unknown> }>(
  new URL("./alicloud/functions/echo.ts", import.meta.url),
);
const handler = { handler: echo } as object;

/** One of every part, with every source and every action. */
class Everything extends Construct {
  readonly store: Bucket;
  readonly queued: Queue;
  readonly state: Table;
  readonly token: Secret;
  readonly files: Volume;
  readonly inner: FunctionPart;
  readonly runs: TaskPart;
  readonly tried: Readonly<Partial<Record<Action, FunctionPart>>>;

  constructor(cloud: Cloud, args: { readonly name?: string; readonly id?: string } = {}) {
    super("Everything", args.name ?? "all", { cloud, ...(args.id && { id: args.id }) });
    this.store = this.bucket("store");
    this.bucket("mine", { existing: "a-bucket-of-mine" });
    const dead = this.queue("dead");
    this.queued = this.queue("queued", { deadLetters: dead, visibility: "6 minutes" });
    this.state = this.table("state", { removable: true });
    this.token = this.secret("token", { config: "token" });
    this.files = this.volume("files", { removable: true });
    const nightly = this.schedule("nightly", { timing: cron("0 4 * * *", { timeZone: "Asia/Shanghai" }) });
    this.inner = this.function("inner", { ...handler, when: [every("5 minutes"), fired(nightly)] } as never);
    this.function("taker", { ...handler, when: received(this.queued, { batch: 5 }), timeout: "1 minute" } as never);
    const told = { onSuccess: echo, onFailure: dead };
    this.runs = this.task("runs", { ...handler, timeout: "10 minutes", ...told } as never);
    this.tried = this.#oneFunctionForEachAction();
    this.function("bare", handler as never);
    this.monitor("alarms", { alarms: [{ part: this.runs, metric: "failures", above: 0 }] });
    this.build();
  }

  #oneFunctionForEachAction() {
    const links: Readonly<Partial<Record<Action, Link>>> = {
      "bucket.read": read(this.store),
      "bucket.write": write(this.store),
      "bucket.remove": remove(this.store),
      "queue.send": send(this.queued),
      "queue.receive": receive(this.queued),
      "table.read": read(this.state),
      "table.write": write(this.state),
      "secret.read": read(this.token),
      "volume.read": mount(this.files, { readOnly: true }),
      "function.invoke": invoke(this.inner),
      "task.submit": submit(this.runs),
      "task.read": read(this.runs),
      "task.control": control(this.runs),
    };
    return Object.fromEntries(
      Object.entries(links).map(([action, link]) => [
        action,
        this.function(action.replace(".", "-"), { ...handler, links: { it: link } } as never),
      ]),
    );
  }
}

/** What holds for the parts of every cloud. */
export function testCloud({ name, deploy, ...subject }: CloudSubject): void {
  describe(`parts on ${name}`, () => {
    let resources: readonly RegisteredResource[];
    let renamed: readonly RegisteredResource[];
    const seen: string[] = [];
    let addresses: Readonly<Record<string, Readonly<Record<string, string>>>>;
    let home: string;
    const before = process.cwd();
    beforeAll(async () => {
      home = await mkdtemp(join(tmpdir(), "millrace-cloud-"));
      process.chdir(home);
      const transform = (type: string, name: string) => void seen.push(`${type} ${name}`);
      resources = await deploy(
        (cloud) => {
          new Everything(cloud);
          cloud.output.apply((output) => {
            addresses = output.addresses;
          });
        },
        { transform },
      );
      renamed = await deploy((cloud) => void new Everything(cloud, { name: "later", id: "all" }));
    }, 180_000);
    afterAll(async () => {
      process.chdir(before);
      await rm(home, { recursive: true, force: true });
    });

    it("every part has an address of known texts, which says its kind", () => {
      const kinds = new Set(Object.values(addresses).map(({ kind }) => kind));
      expect([...kinds].sort()).toEqual([
        "bucket",
        "function",
        "monitor",
        "queue",
        "schedule",
        "secret",
        "table",
        "task",
        "volume",
      ]);
      for (const [part, address] of Object.entries(addresses))
        for (const [field, value] of Object.entries(address))
          expect(typeof value === "string" && value !== "", `${part}.${field}: ${JSON.stringify(value)}`).toBe(true);
    });

    it("is the same again when its construct is renamed with its id kept: names and code hang on nothing else", () => {
      const again = renamed.map(({ type, name, inputs }) => ({ type, name: name.replace(/^later-/, "all-"), inputs }));
      const text = linesOf(again).map((line) => line.replaceAll("later-", "all-").replaceAll('"later"', '"all"'));
      expect(text).toEqual(linesOf(resources));
    });

    it("the runs of a task whose construct is renamed are found again: they lie under its id", () => {
      const { MILLRACE_LINK_it: link = "{}" } = subject.environmentOf(renamed, "later-task-read");
      const { part, definition } = JSON.parse(link) as Readonly<Record<string, string>>;
      expect({ part, name: JSON.parse(definition!).name }).toEqual({ part: "later-runs", name: "all-runs" });
    });

    it("what the user has already is used by its name, and not made", () => {
      const text = JSON.stringify(addresses["all-mine"]);
      expect(text).toContain("a-bucket-of-mine");
      expect(resources.filter(({ name }) => name.startsWith("all-mine"))).toEqual([]);
    });

    it("a secret's value is in the vault alone", () => {
      const outside = resources.filter(({ type }) => !subject.vaults.some((vault) => type.endsWith(vault)));
      expect(resources.length - outside.length).toBeGreaterThan(0);
      expect(JSON.stringify(outside)).not.toContain("s3cret");
    });

    it("everything that can be labelled says its project, stack and part", () => {
      const labels = resources.map(subject.labelsOf).filter((one) => one !== undefined);
      expect(labels.length).toBeGreaterThan(10);
      for (const one of labels) {
        const text = JSON.stringify(one);
        for (const word of ["shop", "prod"]) expect(text).toContain(word);
      }
    });

    it("every raw resource passes the transform", () => {
      const raw = resources
        .filter(({ type }) => !type.startsWith("pulumi:"))
        .map(({ type, name }) => `${type} ${name}`);
      expect(raw.length).toBeGreaterThan(20);
      expect(raw.filter((one) => !seen.includes(one))).toEqual([]);
    });

    it("a function's environment fits, and says nothing of what it is not linked to", () => {
      const bare = subject.environmentOf(resources, "all-bare");
      expect(Object.keys(bare).filter((name) => name.startsWith("MILLRACE_LINK"))).toEqual([]);
      for (const action of ["bucket.read", "task.control"] as const) {
        const environment = subject.environmentOf(resources, `all-${action.replace(".", "-")}`);
        expect(Object.keys(environment).filter((name) => name.startsWith("MILLRACE_LINK"))).toHaveLength(1);
        const bytes = Object.entries(environment).reduce((sum, [key, value]) => sum + key.length + value.length + 2, 0);
        expect(bytes).toBeLessThan(4096);
      }
    });

    const { verbsOf, actions, around = {} } = subject;
    if (verbsOf && actions) {
      // Not every cloud has workflows, and streams want a Kafka: they try their verbs by themselves.
      const tried = (action: string) => action !== "volume.write" && !/^(workflow|stream)\./.test(action);
      it.each(Object.keys(actions).filter(tried) as Action[])(
        "a link with %s grants its verbs and nothing else",
        (action) => {
          const base = verbsOf(resources, "all-bare");
          const granted = verbsOf(resources, `all-${action.replace(".", "-")}`);
          const more = granted.filter((verb) => !base.includes(verb));
          const implied = action === "task.control" ? actions["task.read"] : [];
          const wanted = [...actions[action], ...implied, ...(around[action] ?? [])];
          expect([...new Set(more)].sort()).toEqual([...new Set(wanted)].sort());
        },
      );

      it("no function may do everything", () => {
        const functions = Object.keys(addresses).filter((part) => addresses[part]?.kind === "function");
        for (const part of functions) expect(verbsOf(resources, part).filter((verb) => verb.includes("*"))).toEqual([]);
      });
    }
  });
}

/** Bundling takes as long as it takes: the order of what waits for it is another one every time. */
const linesOf = (resources: readonly RegisteredResource[]): readonly string[] =>
  JSON.stringify(
    [...resources].sort((one, other) => `${one.type} ${one.name}`.localeCompare(`${other.type} ${other.name}`)),
    null,
    1,
  ).split("\n");
