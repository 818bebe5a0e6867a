import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type Cloud,
  Construct,
  code,
  control,
  invoke,
  type Link,
  read,
  receive,
  remove,
  send,
  submit,
  write,
} from "../../lib/parts/index.ts";
import type { Action } from "../../lib/parts/plan.ts";
import type { LinkAddress } from "../../lib/runtime/deployment.ts";
import type {
  BucketReader,
  BucketRemover,
  BucketUploader,
  BucketWriter,
  FunctionInvoker,
  QueueReceiver,
  QueueSender,
  SecretReader,
  TableReader,
  TableWriter,
  TaskController,
  TaskSubmitter,
} from "../../lib/runtime/ports.ts";
import type { Guard } from "./policies.ts";

/** Actions whose methods ask a service. Of a volume, that is the mount's matter. */
export type AskedAction = Exclude<Action, "volume.read" | "volume.write" | `workflow.${string}` | `stream.${string}`>;

const echo = code<{ handler: (event: unknown, context: unknown) => Promise<unknown> }>(
  new URL("./alicloud/functions/echo.ts", import.meta.url),
);
const handler = { handler: echo };

/** One of every part, a function for each action that has a link with it and nothing else, and one without links. */
export class OneLinkEach extends Construct {
  constructor(cloud: Cloud) {
    super("OneLinkEach", "each", { cloud });
    const store = this.bucket("store");
    const queue = this.queue("queue");
    const table = this.table("table");
    const secret = this.secret("secret", { existing: "a-secret" });
    const inner = this.function("inner", handler as never);
    const told = this.queue("told");
    const runs = this.task("runs", { ...handler, timeout: "10 minutes", onFailure: [told, echo] } as never);
    const links: Readonly<Record<AskedAction, Link>> = {
      "bucket.read": read(store),
      "bucket.write": write(store),
      "bucket.remove": remove(store),
      "queue.send": send(queue),
      "queue.receive": receive(queue),
      "table.read": read(table),
      "table.write": write(table),
      "secret.read": read(secret),
      "function.invoke": invoke(inner),
      "task.submit": submit(runs),
      "task.read": read(runs),
      "task.control": control(runs),
    };
    for (const [action, link] of Object.entries(links))
      this.function(action.replace(".", "-"), { ...handler, links: { it: link } } as never);
    this.function("bare", handler as never);
    this.build();
  }
}

/** The function of {@link OneLinkEach} that has a link with this action. */
export const functionOf = (action: AskedAction): string => `each-${action.replace(".", "-")}`;

type Port = BucketReader &
  BucketWriter &
  BucketUploader &
  BucketRemover &
  QueueSender &
  QueueReceiver &
  TableWriter &
  TableReader &
  SecretReader &
  FunctionInvoker &
  TaskSubmitter &
  TaskController;

export interface PortOptions {
  /** The function whose role asks. @default an operator, who may do all */
  readonly role?: string;
  /** Milliseconds by which the asker's clock is ahead of everybody else's. @default 0 */
  readonly ahead?: number;
  /** Fields of the address that are others. */
  readonly address?: Readonly<Record<string, string>>;
}

/** {@link OneLinkEach}, deployed to stand-ins of a cloud's services that keep to the functions' own policies. */
export interface VerbsWorld {
  readonly guard: Guard;
  /** Of every part, where its functions are told that it lies. */
  readonly addresses: Readonly<Record<"bucket" | "queue" | "table" | "secret" | "function" | "task", LinkAddress>>;
  port<Kind extends keyof VerbsWorld["addresses"]>(kind: Kind, options?: PortOptions): Promise<Port>;
  /** The platform knows an attempt of this run already, from before. */
  startBefore(id: string): Promise<void>;
  /** Large payloads and results are gone. */
  loseClaims(): Promise<void>;
  /** Nothing starts on the platform until the answer is called. */
  breakStarts(): () => void;
  /** Requests that all services have seen so far. */
  requests(): number;
  close(): Promise<void>;
}

export interface VerbsSubject {
  readonly name: string;
  readonly actions: Readonly<Record<Action, readonly string[]>>;
  open(): Promise<VerbsWorld>;
  /** What the service says of what it refuses. */
  readonly denied: RegExp;
}

const BIG = 20 * 2 ** 20;
const DAY = 86_400_000;
const kindOf = (kind: string) => expect.objectContaining({ kind });

type Use = (world: VerbsWorld, mine: (options?: PortOptions) => Promise<Port>) => Promise<void>;

/** Every method of every action, with all the ways that it asks its services. */
const USES: Readonly<Record<AskedAction, Use>> = {
  async "bucket.read"(world, mine) {
    await (await world.port("bucket")).put("in/a", "text");
    const port = await mine();
    expect(await port.head("in/a")).toMatchObject({ size: 4 });
    expect(await port.head("in/none")).toBeUndefined();
    await expect((port as BucketReader).get("in/none")).rejects.toEqual(kindOf("not-found"));
    expect(Buffer.from(await (port as BucketReader).get("in/a", { range: [0, 1] })).toString()).toBe("te");
    expect((await buffer(await port.stream("in/a"))).toString()).toBe("text");
    await port.file("in/a");
    expect((await port.list({ prefix: "in/" })).objects).toHaveLength(1);
  },
  async "bucket.write"(_world, mine) {
    const port = (await mine()) as BucketWriter & BucketUploader;
    await port.put("out/text", "text");
    await port.put("out/once", "text", { ifNoneMatch: "*" });
    await expect(port.put("out/once", "text", { ifNoneMatch: "*" })).rejects.toEqual(kindOf("conflict"));
    await port.put("out/big", Buffer.alloc(BIG));
    await expect(port.put("out/broken", Readable.from(breaking()))).rejects.toThrow("the line went dead");
    const folder = await mkdtemp(join(tmpdir(), "millrace-verbs-"));
    await writeFile(join(folder, "file"), "text");
    await port.putFile("out/file", join(folder, "file")).finally(() => rm(folder, { recursive: true }));
    const upload = await port.beginUpload("out/pieces");
    await port.putPiece(upload, 1, Buffer.from("text"));
    const { pieces } = await port.listPieces(upload);
    expect(pieces).toHaveLength(1);
    await port.completeUpload(upload, pieces);
    await port.abortUpload(await port.beginUpload("out/given-up"));
  },
  async "bucket.remove"(world, mine) {
    await (await world.port("bucket")).put("in/b", "text");
    const port = (await mine()) as BucketRemover;
    await port.remove("in/b");
    await port.remove("in/b");
  },
  async "queue.send"(_world, mine) {
    const port = await mine();
    await port.send("now", { attributes: { a: "1" } });
    await port.send("later", { delay: 1 });
  },
  async "queue.receive"(world, mine) {
    await (await world.port("queue")).send("text");
    const port = await mine();
    const [message] = await port.receive({ limit: 1 });
    await port.extend(message!.receipt, 60);
    await port.acknowledge(message!.receipt);
  },
  async "table.read"(world, mine) {
    await (await world.port("table")).put("p", "a", 1);
    const port = (await mine()) as TableReader;
    expect(await port.get("p", "a")).toMatchObject({ value: 1 });
    expect((await port.query("p")).rows).toHaveLength(1);
  },
  async "table.write"(_world, mine) {
    const port = (await mine()) as TableWriter;
    await port.put("q", "old", 1, { expires: Date.now() - 1000 });
    await port.put("q", "old", 2, { ifVersion: "absent" });
    const version = await port.put("q", "a", 1);
    await port.put("q", "a", 2, { ifVersion: version });
    await expect(port.put("q", "a", 3, { ifVersion: version })).rejects.toEqual(kindOf("conflict"));
    await port.remove("q", "a");
  },
  async "secret.read"(_world, mine) {
    expect(await (await mine()).value()).toBe("s3cret");
  },
  async "function.invoke"(_world, mine) {
    expect(await (await mine()).invoke({ a: 1 })).toMatchObject({ payload: { a: 1 } });
  },
  async "task.submit"(world, mine) {
    const port = await mine();
    await port.submit("one", { a: 1 });
    expect(await port.submit("one", { a: 1 })).toMatchObject({ deduplicated: true });
    await Promise.all([1, 2, 3].map(() => port.submit("large", { text: "x".repeat(200_000) })));
    await world.startBefore("again");
    await port.submit("again", { a: 1 });
    const operator = (await world.port("task")) as TaskController & TaskSubmitter;
    await operator.submit("gone", { text: "x".repeat(200_000) }, { delay: "1 hour" });
    await world.loseClaims();
    // A day later nobody has heard of the first ones: whoever takes a turn ends them and tells of it.
    await (await mine({ ahead: DAY })).submit("later", { a: 1 }, { delay: "1 second" });
    expect(await operator.get("one")).toMatchObject({ error: { kind: "timed-out" } });
    expect(await operator.get("gone")).toMatchObject({ error: { kind: "not-found" } });
    const mend = world.breakStarts();
    await port.submit("lost", { text: "x".repeat(50_000) });
    mend();
    expect(await operator.get("lost")).toMatchObject({ status: "failed" });
  },
  async "task.read"(world, mine) {
    await (await world.port("task")).submit("seen", { text: "x".repeat(200_000) });
    const port = (await mine()) as TaskController;
    expect(await port.get("seen")).toMatchObject({ id: "seen" });
    expect(await port.get("none")).toBeUndefined();
    expect(await port.audit("seen")).toMatchObject({ payload: { text: "x".repeat(200_000) } });
    expect((await port.list({ prefix: "seen" })).tasks).toHaveLength(1);
    await world.loseClaims();
    await expect(port.audit("seen")).rejects.toMatchObject({ kind: "not-found" });
  },
  async "task.control"(world, mine) {
    const operator = await world.port("task");
    const port = await mine({ address: withGrace(world.addresses.task, 0) });
    await operator.submit("waiting", { text: "x".repeat(50_000) }, { delay: "1 hour" });
    expect(await port.stop("waiting")).toMatchObject({ status: "stopped" });
    await operator.submit("running", { text: "x".repeat(200_000) });
    expect(await port.stop("running")).toMatchObject({ status: "stopping" });
    for (const id of ["over", "empty"]) {
      await operator.submit(id, { text: "x".repeat(200_000) }, { delay: "1 hour" });
      await port.stop(id);
    }
    await port.retry("over");
    expect(await (port as TaskController).get("over")).toMatchObject({ status: "running" });
    await world.loseClaims();
    await port.retry("empty");
    expect(await (port as TaskController).get("empty")).toMatchObject({ error: { kind: "not-found" } });
  },
};

const withGrace = ({ definition }: LinkAddress, grace: number) => ({
  definition: JSON.stringify({ ...(JSON.parse(definition!) as object), grace }),
});

async function* breaking(): AsyncGenerator<Buffer> {
  for (let sent = 0; sent < BIG; sent += 2 ** 20) yield Buffer.alloc(2 ** 20);
  throw new Error("the line went dead");
}

/** What a link with the action grants besides: `control(task)` is `read(task)` too. */
const IMPLIED: Readonly<Partial<Record<AskedAction, AskedAction>>> = { "task.control": "task.read" };

/** What a caller without a link asks for, and by which field of the address the refusal names it. */
const ASKS: Readonly<Record<keyof VerbsWorld["addresses"], readonly [(port: Port) => Promise<unknown>, string]>> = {
  bucket: [(port) => (port as BucketReader).get("in/a"), "part"],
  queue: [(port) => port.send("text"), "part"],
  table: [(port) => port.put("p", "a", 1), "part"],
  secret: [(port) => port.value(), "part"],
  function: [(port) => port.invoke({}), "function"],
  task: [(port) => port.stop("one"), "table"],
};

/** Permissions and what is done with them: nothing is missing, nothing too much, and what is not granted is refused. */
export function testVerbs({ name, actions, open, denied }: VerbsSubject): void {
  describe(`verbs on ${name}`, () => {
    let world: VerbsWorld;
    let home: string;
    const before = process.cwd();
    const used = new Map<AskedAction, readonly string[]>();
    beforeAll(async () => {
      home = await mkdtemp(join(tmpdir(), "millrace-verbs-"));
      process.chdir(home);
      world = await open();
    }, 180_000);
    afterAll(async () => {
      process.chdir(before);
      await world?.close();
      await rm(home, { recursive: true, force: true });
    });

    it.each(Object.keys(USES) as AskedAction[])("%s: its methods use its verbs, and no others", async (action) => {
      const kind = action.split(".")[0] as keyof VerbsWorld["addresses"];
      const role = functionOf(action);
      await USES[action](world, (options) => world.port(kind, { role, ...options }));
      expect(world.guard.refused).toEqual([]);
      used.set(action, world.guard.usedBy(role));
      const implied = IMPLIED[action];
      const granted = [...actions[action], ...(implied ? actions[implied] : [])];
      expect(granted).toEqual(expect.arrayContaining([...world.guard.usedBy(role)]));
      // A run that is retried and waits for a slot is a turn too, and what a turn does is tried by the submit.
      const tried = action === "task.control" ? [...(used.get("task.submit") ?? [])] : [];
      expect([...new Set([...world.guard.usedBy(role), ...tried])]).toEqual(expect.arrayContaining(granted));
    });

    it.each(Object.keys(ASKS) as (keyof typeof ASKS)[])(
      "%s: refused without a link, and not asked again",
      async (kind) => {
        const [ask, field] = ASKS[kind];
        const port = await world.port(kind, { role: "each-bare" });
        const asked = world.requests();
        const error = await ask(port).catch((error: unknown) => error);
        expect(error).toMatchObject({ kind: "refused", message: denied });
        expect((error as Error).message).toContain(world.addresses[kind][field]);
        expect(world.requests() - asked).toBe(1);
      },
    );

    it("a put on condition of an etag asks for a link that reads, too", async () => {
      const operator = await world.port("bucket");
      const { etag } = await operator.put("in/c", "one");
      const writer = await world.port("bucket", { role: functionOf("bucket.write") });
      const put = (port: Port) => (port as BucketWriter).put("in/c", "two", { ifMatch: etag });
      await expect(put(writer)).rejects.toEqual(kindOf("refused"));
      await put(operator);
    });
  });
}
