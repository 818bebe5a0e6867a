import { createWriteStream } from "node:fs";
import { copyFile, type FileHandle, lstat, open, rename, rm, writeFile } from "node:fs/promises";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { clipRange } from "../../../runtime/conditions.ts";
import { MillraceError } from "../../../runtime/errors.ts";
import { NO_COPIES } from "../../../runtime/no-copies.ts";
import type {
  BucketReader,
  BucketRemover,
  BucketUploader,
  BucketWriter,
  FunctionInvoker,
  GetOptions,
  ObjectInfo,
  PartitionClaim,
  Piece,
  PutOptions,
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
} from "../../../runtime/ports.ts";
import type { LinkAddress } from "./channel.ts";

/** Asks the host to do something with the linked part. */
export type AskHost = (method: string, ...args: readonly unknown[]) => Promise<unknown>;

/** The port objects of a function's links, by name. What no link grants, the host refuses at the call. */
export function portsOf(
  links: readonly LinkAddress[],
  ask: (link: string, method: string, args: readonly unknown[]) => Promise<unknown>,
  signal: AbortSignal,
): Readonly<Record<string, object>> {
  const ports: Readonly<Record<string, object>> = Object.fromEntries(
    links.map((link) => [link.name, portOf(link, (method, ...args) => ask(link.name, method, args), signal, linkOf)]),
  );
  function linkOf(port: object): string | undefined {
    return Object.keys(ports).find((name) => ports[name] === port);
  }
  return ports;
}

/** The name of the link that a port is of, among the function's own. */
type LinkOf = (port: object) => string | undefined;

function portOf({ kind, part, path }: LinkAddress, ask: AskHost, signal: AbortSignal, linkOf: LinkOf): object {
  switch (kind) {
    case "bucket":
      return {
        bucket: part,
        ...bucketReader(ask),
        ...bucketWriter(ask, signal),
        ...bucketUploader(ask),
        ...bucketRemover(ask),
      };
    case "queue":
      return {
        queue: part,
        ...methods<QueueSender & QueueReceiver>(ask, ["send", "receive", "acknowledge", "extend"]),
      };
    case "stream":
      return {
        ...{ stream: part, topic: part },
        ...methods<StreamProducer & StreamReader>(ask, ["send", "read"]),
        ...streamClaimer(ask, linkOf),
      };
    case "table":
      return methods<TableReader & TableWriter>(ask, ["get", "query", "put", "remove"]);
    case "secret":
      return methods<SecretReader>(ask, ["value"]);
    case "volume":
      return { path: path ?? "" } satisfies VolumeMount;
    case "function":
      return methods<FunctionInvoker>(ask, ["invoke"]);
    case "task":
      return methods<TaskSubmitter & TaskController>(ask, ["submit", "get", "list", "audit", "stop", "retry"]);
    case "workflow":
      return methods<WorkflowStarter & WorkflowController & WorkflowAnswerer>(ask, [
        ...(["start", "get", "list", "stop", "retry", "answer"] as const),
      ]);
  }
}

/** Methods that the host does as they stand. */
const methods = <Port>(ask: AskHost, names: readonly (keyof Port & string)[]): object =>
  Object.fromEntries(names.map((name) => [name, (...args: unknown[]) => ask(name, ...args)]));

type Reader = Omit<BucketReader, "bucket">;
type Writer = Omit<BucketWriter, "bucket">;
type Uploader = Omit<BucketUploader, "bucket">;
type Remover = Omit<BucketRemover, "bucket">;

/** Bodies stay out of the channel: the host says where the content lies, and it is read from there. */
const bucketReader = (ask: AskHost): Reader => ({
  head: (key, options) => ask("head", key, options) as Promise<ObjectInfo | undefined>,
  list: (options) => ask("list", options) as ReturnType<BucketReader["list"]>,
  file: (key, options) => ask("file", key, options) as Promise<string>,
  async get(key, options) {
    const handle = await openObject(ask, key, options);
    try {
      if (!options?.range) return await handle.readFile();
      const [first, last] = await boundsOf(handle, key, options.range);
      const { buffer, bytesRead } = await handle.read({ buffer: Buffer.alloc(last - first + 1), position: first });
      return buffer.subarray(0, bytesRead);
    } finally {
      await handle.close();
    }
  },
  async stream(key, options) {
    const handle = await openObject(ask, key, options);
    try {
      if (!options?.range) return handle.createReadStream();
      const [start, end] = await boundsOf(handle, key, options.range);
      return handle.createReadStream({ start, end });
    } catch (error) {
      await handle.close();
      throw error;
    }
  },
});

/** An open file keeps its content, whatever happens to the object. */
async function openObject(ask: AskHost, key: string, { ifMatch }: GetOptions = {}): Promise<FileHandle> {
  return open((await ask("open", key, ifMatch === undefined ? {} : { ifMatch })) as string);
}

const boundsOf = async (handle: FileHandle, key: string, range: NonNullable<GetOptions["range"]>) =>
  clipRange(key, (await handle.stat()).size, range);

const bucketWriter = (ask: AskHost, signal: AbortSignal): Writer => ({
  put: (key, body, options) => stage(ask, key, options, (path) => writeBody(path, body, signal)),
  putFile: (key, file, options) => stage(ask, key, options, (path) => moveFile(file, path)),
});

/** The content goes to a place of the bucket's own first, and becomes the object in one step. */
async function stage(
  ask: AskHost,
  key: string,
  options: PutOptions | undefined,
  fill: (path: string) => Promise<void>,
): Promise<ObjectInfo> {
  const path = (await ask("stage", key)) as string;
  try {
    await fill(path);
    return (await ask("commit", key, path, options)) as ObjectInfo;
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
}

const writeBody = (path: string, body: Uint8Array | string | Readable, signal: AbortSignal): Promise<void> =>
  typeof body === "string" || body instanceof Uint8Array
    ? writeFile(path, body)
    : pipeline(body, createWriteStream(path), { signal });

/** A rename where it can be one: same file system, and a plain file rather than a link to one. */
async function moveFile(from: string, to: string): Promise<void> {
  const info = await lstat(from).catch(() => undefined);
  if (!info) throw new MillraceError("not-found", `putFile: there is no file ${from}`);
  if (!info.isFile()) return copyFile(from, to);
  try {
    await rename(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EXDEV") throw error;
    await copyFile(from, to);
  }
}

const bucketUploader = (ask: AskHost): Uploader => ({
  ...(methods<Uploader>(ask, ["beginUpload", "listPieces", "completeUpload", "abortUpload"]) as Uploader),
  async putPiece(upload, number, body, crc64) {
    const path = (await ask("stage", upload.key)) as string;
    try {
      await writeFile(path, body);
      return (await ask("commitPiece", upload, number, path, crc64)) as Piece;
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    }
  },
  ...NO_COPIES,
});

const bucketRemover = (ask: AskHost): Remover => ({
  remove: async (key) => {
    await ask("remove", key);
  },
});

type Claimer = Omit<StreamClaimer, "stream">;

const streamClaimer = (ask: AskHost, linkOf: LinkOf): Claimer => ({
  async claim(partition) {
    const { epoch, next } = (await ask("claim", partition)) as { readonly epoch: number; readonly next?: number };
    const commit: PartitionClaim["commit"] = async (next, sends = []) => {
      const named = sends.map(({ to, records }) => ({ link: linkOf(to) ?? notLinked(to), records }));
      await ask("commit", { partition, epoch, next, sends: named });
    };
    return { partition, next, commit };
  },
});

function notLinked({ stream }: StreamProducer): never {
  throw new MillraceError(
    "refused",
    `commit: it sends to stream ${stream} by something that is no link of this function`,
  );
}
