import type {
  BucketReader,
  BucketRemover,
  BucketUploader,
  BucketWriter,
  FunctionInvoker,
  QueueReceiver,
  QueueSender,
  SecretReader,
  StreamClaimer,
  StreamProducer,
  StreamReader,
  TableReader,
  TableWriter,
  TaskController,
  TaskSubmitter,
  VolumeMount,
  WorkflowAnswerer,
  WorkflowController,
  WorkflowStarter,
} from "../runtime/ports.ts";
import { keysLink } from "../shared/environment.ts";
import type { Bucket, FunctionPart, Part, Queue, Secret, Stream, Table, TaskPart, Volume, Workflow } from "./part.ts";
import type { Action, LinkPlan, PartKind } from "./plan.ts";

declare const port: unique symbol;

/** One line of `links`: the permission, the address and the type of what the handler gets, at once. */
export interface Link<Port = unknown> {
  readonly part: Part;
  readonly actions: readonly Action[];
  /** Has the keys that are used in place of the function's role. */
  readonly keys?: Secret;
  readonly [port]?: Port;
}

/** How a function reaches a bucket. */
export interface ReachOptions {
  /**
   * A secret of the function's own cloud with the keys to a bucket of another cloud or account, as JSON:
   * `{ "accessKeyId": "…", "accessKeySecret": "…" }`, or as AWS calls them, `{ "accessKeyId": "…", "secretAccessKey": "…" }`;
   * temporary ones have a `securityToken` or `sessionToken` too. They are read at every invocation.
   *
   * @default the function's role
   */
  readonly keys?: Secret;
}

/** The links a handler's type asks for. */
export type LinksOf<Ports> = { readonly [Name in keyof Ports]: Link<Ports[Name]> };

/** What a program says is not always type-checked before it runs. */
function link<Port>(verb: string, kinds: readonly PartKind[], part: Part, ...actions: Action[]): Link<Port> {
  if (kinds.includes(part.kind)) return { part, actions };
  const wanted = kinds.join(", ").replace(/, (\w+)$/, " or $1");
  throw new Error(`${verb}: a ${wanted} is wanted, and ${part.name} is a ${part.kind}`);
}

function bucketLink<Port>(
  verb: string,
  part: Part,
  action: Action,
  { keys }: ReachOptions,
  kinds: readonly PartKind[] = ["bucket"],
): Link<Port> {
  const made = link<Port>(verb, kinds, part, action);
  if (keys === undefined) return made;
  if (part.kind !== "bucket") throw new Error(`${verb}: keys are for buckets, and ${part.name} is a ${part.kind}`);
  if (keys.kind !== "secret") throw new Error(`${verb}: keys lie in a secret, and ${keys.name} is a ${keys.kind}`);
  return { ...made, keys };
}

/** Lets the function read: objects, rows, a secret, records or runs. A bucket may be one of another region or cloud. */
export function read(part: Bucket, options?: ReachOptions): Link<BucketReader>;
export function read(part: Table): Link<TableReader>;
export function read(part: Secret): Link<SecretReader>;
export function read(part: TaskPart): Link<Pick<TaskController, "get" | "list" | "audit">>;
export function read(part: Stream): Link<StreamReader>;
export function read(part: Bucket | Table | Secret | TaskPart | Stream, options: ReachOptions = {}): Link<never> {
  const kinds = ["bucket", "table", "secret", "task", "stream"] as const;
  const made = bucketLink<never>("read", part, `${part.kind}.read`, options, kinds);
  return part.kind === "stream" ? asUser(part as Stream, made) : made;
}

/** Lets the function put objects or rows; it can't read or remove objects by this. A bucket may be elsewhere, as in {@link read}. */
export function write(part: Bucket, options?: ReachOptions): Link<BucketWriter & BucketUploader>;
export function write(part: Table): Link<TableWriter>;
export function write(part: Bucket | Table, options: ReachOptions = {}): Link<never> {
  return bucketLink("write", part, `${part.kind}.write`, options, ["bucket", "table"]);
}

/** Lets the function remove objects. The bucket may be elsewhere, as in {@link read}. */
export const remove = (part: Bucket, options: ReachOptions = {}): Link<BucketRemover> =>
  bucketLink("remove", part, "bucket.remove", options);

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

/** Lets the function watch, stop and retry runs of tasks or workflows. */
export function control(part: TaskPart): Link<TaskController>;
export function control(part: Workflow): Link<WorkflowController>;
export function control(part: TaskPart | Workflow): Link<never> {
  return link("control", ["task", "workflow"], part, `${part.kind}.read`, `${part.kind}.control`);
}

/** Lets the function start runs of a workflow. */
export const start = <Input = unknown>(part: Workflow): Link<WorkflowStarter<Input>> =>
  link("start", ["workflow"], part, "workflow.start");

/** Lets the function answer the callbacks of a workflow. */
export const answer = (part: Workflow): Link<WorkflowAnswerer> => link("answer", ["workflow"], part, "workflow.answer");

/** Lets the function append records. */
export const produce = (part: Stream): Link<StreamProducer> => streamLink("produce", part, "stream.produce");

/** Lets the function keep how far it has come in the stream, so that it does no record twice. */
export const claim = (part: Stream): Link<StreamClaimer> => streamLink("claim", part, "stream.claim");

const streamLink = <Port>(verb: string, part: Stream, action: Action): Link<Port> =>
  asUser(part, link<Port>(verb, ["stream"], part, action));

/** A stream is reached as its user, whatever the function's role is. */
function asUser<Port>(part: Stream, made: Link<Port>): Link<Port> {
  const user = part.plan.kafka?.user;
  const keys = user === undefined ? undefined : (part.cloud.find(user) as Secret | undefined);
  return keys === undefined ? made : { ...made, keys };
}

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
  const [keys, ...others] = new Set(links.map((one) => one.keys));
  if (others.length > 0) throw new Error(`all: links ${first.part.name} in one way, by the same keys or without any`);
  return { part: first.part, actions: links.flatMap(({ actions }) => actions), ...(keys && { keys }) };
}

/** @param cloud the function's own */
export const toLinkPlan = ({ part, actions, keys }: Link, cloud: string): LinkPlan => ({
  part: part.name,
  actions: [...new Set(actions)],
  ...(part.plan.cloud !== cloud && { cloud: part.plan.cloud }),
  ...(keys && { keys: keys.name }),
});

/** The links of a function; the secrets with the keys to what it links are links too, and no concern of its handler. */
export function toLinkPlans(links: Readonly<Record<string, Link>>, cloud: string): Readonly<Record<string, LinkPlan>> {
  const secrets = Object.values(links).flatMap(({ keys }) => (keys ? [keys] : []));
  return Object.fromEntries([
    ...Object.entries(links).map(([name, link]) => [name, toLinkPlan(link, cloud)] as const),
    ...secrets.map((secret) => [keysLink(secret.name), toLinkPlan(read(secret), cloud)] as const),
  ]);
}
