import { basename } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Command } from "commander";
import type { BucketClient } from "../../clouds/local/client.ts";
import { MillraceError } from "../../runtime/errors.ts";
import type { ObjectInfo } from "../../runtime/ports.ts";
import { contentTypeOf } from "../../shared/content-type.ts";
import { formatBytes } from "../../shared/size.ts";
import { type Cli, printJson } from "../cli.ts";
import { UsageError } from "../exit.ts";
import { type OpenFile, openFile, refuseExisting, saveStream, targetOf } from "../files.ts";
import { resolveName } from "../names.ts";
import { type CommonOptions, parseWhole, withCloud, withExamples } from "../options.ts";
import { renderTable } from "../render/table.ts";
import { plain } from "../render/text.ts";
import { formatTime } from "../render/time.ts";
import { showTransfer } from "../render/transfer.ts";

/** `millrace buckets …` */
export function addBuckets(program: Command, cli: Cli): void {
  const buckets = program.command("buckets").description("list, put and get objects");
  addLs(buckets, cli);
  addPut(buckets, cli);
  addGet(buckets, cli);
}

function addLs(buckets: Command, cli: Cli): void {
  const command = buckets
    .command("ls")
    .description("list the buckets, or the objects of one")
    .argument("[bucket]", "the bucket's name")
    .argument("[prefix]", "only keys that begin with this")
    .option("--limit <count>", "most objects to list", parseWhole(1, Number.MAX_SAFE_INTEGER), 1000);
  withExamples(withCloud(command), "millrace buckets ls", "millrace buckets ls videos-outputs cat.mp4/").action(
    cli.action(
      async (word: string | undefined, prefix: string | undefined, options: CommonOptions & { limit: number }) =>
        word === undefined ? listBuckets(cli, options) : listObjects(cli, word, prefix, options),
    ),
  );
}

async function listBuckets(cli: Cli, options: CommonOptions): Promise<void> {
  const { parts } = await (await cli.connect(options)).plan();
  const buckets = parts.filter(({ kind }) => kind === "bucket").map(({ name, construct }) => ({ name, construct }));
  if (options.json) return printJson(cli.terminal, buckets);
  cli.terminal.print(
    renderTable(
      ["BUCKET", "OF"],
      buckets.map(({ name, construct }) => [name, construct]),
      cli.terminal,
    ),
  );
}

async function listObjects(
  cli: Cli,
  word: string,
  prefix: string | undefined,
  { limit, ...options }: CommonOptions & { limit: number },
): Promise<void> {
  const { terminal } = cli;
  const client = await cli.connect(options);
  const bucket = client.buckets.bucket(resolveName(await client.plan(), "bucket", word));
  const { objects, isCut } = await firstObjects(bucket, prefix, limit);
  if (options.json) printJson(terminal, objects);
  else if (objects.length === 0) terminal.note("no objects");
  else {
    const rows = objects.map(({ key, size, modified }) => [plain(key), formatBytes(size), formatTime(modified)]);
    terminal.print(renderTable(["KEY", "SIZE", "MODIFIED"], rows, terminal));
  }
  if (isCut) terminal.note(`there are more than ${limit}; raise --limit, or name a prefix`);
}

const PAGE = 1000;

async function firstObjects(bucket: BucketClient, prefix: string | undefined, limit: number) {
  const objects: ObjectInfo[] = [];
  let after: string | undefined;
  do {
    const page = await bucket.list({
      ...(prefix !== undefined && { prefix }),
      ...(after !== undefined && { after }),
      limit: Math.min(PAGE, limit - objects.length),
    });
    objects.push(...page.objects);
    after = page.next;
  } while (after !== undefined && objects.length < limit);
  return { objects, isCut: after !== undefined };
}

interface PutOptions extends CommonOptions {
  readonly key?: string;
  readonly contentType?: string;
}

function addPut(buckets: Command, cli: Cli): void {
  const command = buckets
    .command("put")
    .description("put files into a bucket")
    .argument("<bucket>", "the bucket's name")
    .argument("<file...>", "files, or - for standard input")
    .option("--key <key>", "the object's key; ending in / it goes before the files' names (default: the file's name)")
    .option("--content-type <type>", "the media type (default: by the key's ending)");
  withExamples(
    withCloud(command),
    "millrace buckets put videos-uploads cat.mp4",
    "millrace buckets put videos-uploads *.mp4 --key holidays/",
    "ffmpeg … -f mp4 - | millrace buckets put videos-uploads - --key live.mp4",
  ).action(
    cli.action(async (word: string, files: string[], options: PutOptions) => {
      const puts = files.map((file) => ({ file, key: keyFor(file, files.length, options.key) }));
      const client = await cli.connect(options);
      const bucket = client.buckets.bucket(resolveName(await client.plan(), "bucket", word));
      const infos: ObjectInfo[] = [];
      for (const { file, key } of puts) {
        const info = await putOne(cli, bucket, key, await openFile(file), options.contentType);
        infos.push(info);
        if (!options.json) cli.terminal.print(`put ${bucket.bucket} ${plain(key)} (${formatBytes(info.size)})`);
      }
      if (options.json) printJson(cli.terminal, infos);
    }),
  );
}

function keyFor(file: string, files: number, key: string | undefined): string {
  if (key !== undefined && !key.endsWith("/")) {
    if (files > 1) throw new UsageError(`--key: with ${files} files it must end in /, got "${key}"`);
    return key;
  }
  if (file === "-") throw new UsageError("--key: name the key for what comes from standard input");
  return `${key ?? ""}${basename(file)}`;
}

async function putOne(cli: Cli, bucket: BucketClient, key: string, file: OpenFile, contentType: string | undefined) {
  const transfer = showTransfer(cli.terminal, key, file.size);
  try {
    const body = transfer.through(file.stream, cli.signal);
    return await bucket.put(key, body, { contentType: contentType ?? contentTypeOf(key) });
  } finally {
    transfer.end();
  }
}

interface GetOptions extends CommonOptions {
  readonly force?: true;
}

function addGet(buckets: Command, cli: Cli): void {
  const command = buckets
    .command("get")
    .description("get an object")
    .argument("<bucket>", "the bucket's name")
    .argument("<key>", "the object's key")
    .argument("[file]", "a file or a folder, or - for standard output (default: here, under the last part of the key)")
    .option("--force", "overwrite the file if it is there");
  withExamples(
    withCloud(command),
    "millrace buckets get videos-outputs cat.mp4/video.flv",
    "millrace buckets get videos-outputs cat.mp4/video.flv - | ffplay -",
  ).action(
    cli.action(async (word: string, key: string, given: string | undefined, options: GetOptions) => {
      const isForced = options.force ?? false;
      const file = given === "-" ? undefined : await targetOf(key, given);
      if (file !== undefined && !isForced) await refuseExisting(file);
      const client = await cli.connect(options);
      const bucket = client.buckets.bucket(resolveName(await client.plan(), "bucket", word));
      const info = await bucket.head(key);
      if (!info) throw new MillraceError("not-found", `${bucket.bucket} has no object ${JSON.stringify(key)}`);
      await receive(cli, info, await bucket.stream(key, { ifMatch: info.etag }), (body) =>
        file === undefined ? pipeline(body, process.stdout, { end: false }) : saveStream(body, file, { isForced }),
      );
      if (file === undefined) return;
      if (options.json) printJson(cli.terminal, { ...info, file });
      else cli.terminal.print(`got ${plain(key)} as ${plain(file)} (${formatBytes(info.size)})`);
    }),
  );
}

async function receive(
  { terminal, signal }: Cli,
  { key, size }: ObjectInfo,
  body: Readable,
  save: (body: Readable) => Promise<void>,
): Promise<void> {
  const transfer = showTransfer(terminal, key, size);
  try {
    await save(transfer.through(body, signal));
  } finally {
    transfer.end();
  }
}
