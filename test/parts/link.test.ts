import { expect, expectTypeOf, test } from "vitest";
import {
  all,
  control,
  invoke,
  type Link,
  mount,
  read,
  receive,
  remove,
  send,
  submit,
  toLinkPlan,
  write,
} from "../../lib/parts/link.ts";
import {
  type Bucket,
  type FunctionPart,
  Part,
  type Queue,
  type Secret,
  type Stream,
  type Table,
  type TaskPart,
  type Volume,
} from "../../lib/parts/part.ts";
import type { PartKind } from "../../lib/parts/plan.ts";
import type {
  BucketReader,
  BucketRemover,
  BucketUploader,
  BucketWriter,
  QueueSender,
  VolumeMount,
} from "../../lib/runtime/ports.ts";

const part = <P>(kind: PartKind, name: string): P =>
  new Part({ kind, name, cloud: "here" } as never, undefined as never) as P;
const bucket = part<Bucket>("bucket", "files");
const queue = part<Queue>("queue", "jobs");
const table = part<Table>("table", "rows");
const secret = part<Secret>("secret", "token");
const task = part<TaskPart>("task", "work");
const fn = part<FunctionPart>("function", "call");
const volume = part<Volume>("volume", "disk");
const stream = part<Stream>("stream", "orders");

test("each link grants what its port can do, and no more", () => {
  const granted = (link: Link) => toLinkPlan(link, "here").actions;
  expect(granted(read(bucket))).toEqual(["bucket.read"]);
  expect(granted(read(table))).toEqual(["table.read"]);
  expect(granted(read(secret))).toEqual(["secret.read"]);
  expect(granted(read(task))).toEqual(["task.read"]);
  expect(granted(read(stream))).toEqual(["stream.read"]);
  expect(granted(write(bucket))).toEqual(["bucket.write"]);
  expect(granted(write(table))).toEqual(["table.write"]);
  expect(granted(remove(bucket))).toEqual(["bucket.remove"]);
  expect(granted(send(queue))).toEqual(["queue.send"]);
  expect(granted(receive(queue))).toEqual(["queue.receive"]);
  expect(granted(invoke(fn))).toEqual(["function.invoke"]);
  expect(granted(submit(task))).toEqual(["task.submit"]);
  expect(granted(control(task))).toEqual(["task.read", "task.control"]);
  expect(granted(mount(volume))).toEqual(["volume.read", "volume.write"]);
  expect(granted(mount(volume, { readOnly: true }))).toEqual(["volume.read"]);
});

test("a link that fits no part of this kind is refused at once", () => {
  expect(() => send(secret as never)).toThrow("send: a queue is wanted, and token is a secret");
  expect(() => read(queue as never)).toThrow(
    "read: a bucket, table, secret, task or stream is wanted, and jobs is a queue",
  );
  expect(() => control(bucket as never)).toThrow("control: a task or workflow is wanted, and files is a bucket");
});

test("the plan names the part", () => {
  expect(toLinkPlan(read(bucket), "here")).toEqual({ part: "files", actions: ["bucket.read"] });
});

test("all gives several permissions on one part, each once", () => {
  const store = all(read(bucket), write(bucket), read(bucket));
  expect(toLinkPlan(store, "here")).toEqual({ part: "files", actions: ["bucket.read", "bucket.write"] });
  expectTypeOf(all(read(bucket), write(bucket), remove(bucket))).toEqualTypeOf<
    Link<BucketReader & BucketWriter & BucketUploader & BucketRemover>
  >();
});

test("all refuses two parts under one name", () => {
  expect(() => all(read(bucket), write(part<Bucket>("bucket", "others")))).toThrow(
    "all: links one part under one name, got files and others",
  );
});

test("a link's type is the port the handler gets", () => {
  expectTypeOf(read(bucket)).toEqualTypeOf<Link<BucketReader>>();
  expectTypeOf(send(queue)).toEqualTypeOf<Link<QueueSender>>();
  expectTypeOf(mount(volume)).toEqualTypeOf<Link<VolumeMount>>();
  // @ts-expect-error nothing is read from a queue by this word
  expect(() => read(queue)).toThrow();
  // @ts-expect-error a bucket takes no messages
  expect(() => send(bucket)).toThrow();
  // @ts-expect-error a secret is not written by a function
  expect(() => write(secret)).toThrow();
  // @ts-expect-error a reader does not write
  const writer: Link<BucketWriter> = read(bucket);
  expect(writer.actions).toEqual(["bucket.read"]);
});
