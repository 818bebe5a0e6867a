import type {
  BucketReader,
  BucketRemover,
  BucketWriter,
  FunctionInvoker,
  QueueReceiver,
  QueueSender,
  SecretReader,
  TableReader,
  TableWriter,
  TaskController,
  TaskSubmitter,
  VolumeMount,
} from "../runtime/ports.ts";
import type { Bucket, FunctionPart, Part, Queue, Secret, Table, TaskPart, Volume } from "./part.ts";
import type { Action, LinkPlan, PartKind } from "./plan.ts";

declare const port: unique symbol;

/** One line of `links`: the permission, the address and the type of what the handler gets, at once. */
export interface Link<Port = unknown> {
  readonly part: Part;
  readonly actions: readonly Action[];
  readonly [port]?: Port;
}

/** The links a handler's type asks for. */
export type LinksOf<Ports> = { readonly [Name in keyof Ports]: Link<Ports[Name]> };

/** What a program says is not always type-checked before it runs. */
function link<Port>(verb: string, kinds: readonly PartKind[], part: Part, ...actions: Action[]): Link<Port> {
  if (kinds.includes(part.kind)) return { part, actions };
  const wanted = kinds.join(", ").replace(/, (\w+)$/, " or $1");
  throw new Error(`${verb}: a ${wanted} is wanted, and ${part.name} is a ${part.kind}`);
}

/** Lets the function read: objects, rows or a secret. */
export function read(part: Bucket): Link<BucketReader>;
export function read(part: Table): Link<TableReader>;
export function read(part: Secret): Link<SecretReader>;
export function read(part: TaskPart): Link<Pick<TaskController, "get" | "list">>;
export function read(part: Bucket | Table | Secret | TaskPart): Link<never> {
  return link("read", ["bucket", "table", "secret", "task"], part, `${part.kind}.read`);
}

/** Lets the function put objects or rows; it can't read or remove objects by this. */
export function write(part: Bucket): Link<BucketWriter>;
export function write(part: Table): Link<TableWriter>;
export function write(part: Bucket | Table): Link<never> {
  return link("write", ["bucket", "table"], part, `${part.kind}.write`);
}

/** Lets the function remove objects. */
export const remove = (part: Bucket): Link<BucketRemover> => link("remove", ["bucket"], part, "bucket.remove");

/** Lets the function send messages. */
export const send = (part: Queue): Link<QueueSender> => link("send", ["queue"], part, "queue.send");

/** Lets the function take messages out. */
export const receive = (part: Queue): Link<QueueReceiver> => link("receive", ["queue"], part, "queue.receive");

/** Lets the function call another one. */
export const invoke = <Payload = unknown, Result = unknown>(
  part: FunctionPart,
): Link<FunctionInvoker<Payload, Result>> => link("invoke", ["function"], part, "function.invoke");

/** Lets the function start tasks. */
export const submit = (part: TaskPart): Link<TaskSubmitter> => link("submit", ["task"], part, "task.submit");

/** Lets the function watch, stop and retry tasks. */
export const control = (part: TaskPart): Link<TaskController> =>
  link("control", ["task"], part, "task.read", "task.control");

/** Gives the function the volume as a folder. */
export const mount = (part: Volume, { readOnly = false }: { readonly readOnly?: boolean } = {}): Link<VolumeMount> =>
  link("mount", ["volume"], part, "volume.read", ...(readOnly ? [] : (["volume.write"] as const)));

/**
 * Several permissions on one part, under one name.
 *
 * @example
 * links: { store: all(read(bucket), write(bucket)) }
 */
export function all<First, Second, Third = unknown>(
  first: Link<First>,
  second: Link<Second>,
  third?: Link<Third>,
): Link<First & Second & Third> {
  const links = [first, second, ...(third ? [third] : [])];
  if (links.some(({ part }) => part !== first.part)) {
    throw new Error(`all: links one part under one name, got ${links.map(({ part }) => part.name).join(" and ")}`);
  }
  return { part: first.part, actions: links.flatMap(({ actions }) => actions) };
}

export const toLinkPlan = ({ part, actions }: Link): LinkPlan => ({ part: part.name, actions: [...new Set(actions)] });
