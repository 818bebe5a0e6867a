import { createHash } from "node:crypto";
import { createReadStream, statSync } from "node:fs";
import { join } from "node:path";
import { MillraceError } from "../../../runtime/errors.ts";
import type { Context } from "../../../runtime/handler.ts";
import type { BucketReader } from "../../../runtime/ports.ts";
import { keysOf, outputsOf } from "../keys.ts";
import { readFooter } from "../parquet.ts";
import { eachOf, readJson } from "../plan.ts";
import { contentOf, cursorsOf, type Part, type Reduced, type ReduceLinks, reducing } from "../reduce.ts";
import type { SqlReduceSettings } from "../settings.ts";
import type { RunPlace } from "../shuffle.ts";
import { Duck, toMillraceError } from "./duck.ts";
import { jsonReader, portable, readerOf, type Table, TableFile } from "./tables.ts";

type SqlReduceContext = Context<ReduceLinks, SqlReduceSettings>;

/** Runs the reducer's query over all pairs of a partition. */
export const handler = reducing<SqlReduceSettings, unknown>(async (run, partition, context) => {
  const duck = await Duck.open(context.scratch, context.settings, context.signal);
  try {
    return await reduced(duck, run, partition, context);
  } catch (error) {
    throw toMillraceError(error, "the reducer's query");
  } finally {
    duck.close();
  }
});

async function reduced(duck: Duck, run: string, partition: number, context: SqlReduceContext): Promise<Reduced> {
  const { links, settings, signal } = context;
  const { outputFormat, outputPrefix } = settings;
  const places = await readJson<readonly RunPlace[]>(links.work, keysOf(run).partition(partition));
  await duck.run(`CREATE VIEW pairs AS ${await pairsOf(duck, places, context)}`);
  const [counts] = await duck.rows(
    "SELECT count(*) AS pairs, count(DISTINCT key) + max((key IS NULL)::INT) AS keys FROM pairs",
  );
  const told = { partition, pairs: Number(counts!.pairs), keys: Number(counts!.keys) };
  const key = outputsOf(outputPrefix, run).part(partition, outputFormat);
  const { outputs } = links;
  // An attempt that did not live to tell of it has put all there is.
  const there = await outputs.head(key);
  if (there) return { ...told, part: { key, ...(await contentIn(outputs, key, outputFormat, signal)) } };

  const query = await portable(duck, await duck.checked(settings.sql));
  const records = await duck.copy(query, "output", outputFormat === "parquet" ? PARQUET : "FORMAT json");
  if (records === 0) return told;
  const file = join(duck.folder, "output");
  const part = { key, size: statSync(file).size, records, sha256: await sha256Of(file) };
  const contentType = outputFormat === "parquet" ? "application/vnd.apache.parquet" : "application/jsonl";
  await outputs.putFile(key, file, { contentType, ifNoneMatch: "*" });
  return { ...told, part };
}

const PARQUET = "FORMAT parquet, COMPRESSION zstd";

/** The query that reads all pairs of a partition. */
async function pairsOf(
  duck: Duck,
  places: readonly RunPlace[],
  { links: { work }, settings: { columns }, signal }: SqlReduceContext,
): Promise<string> {
  if (places.some(({ codec }) => codec === "parquet")) {
    const tables = await eachOf(places, (place, index) => fetched(duck, work, place, `run-${index}`, signal), AT_ONCE);
    return readerOf(tables, "parquet", {});
  }
  const file = new TableFile(duck, "pairs");
  try {
    for (const cursor of cursorsOf(places, work, signal)) {
      for (let isMore = await cursor.fill(); isMore; isMore = cursor.advance() || (await cursor.fill())) {
        file.write(Buffer.from(`{"key":${JSON.stringify(cursor.key)},"values":[${cursor.values}]}\n`));
      }
    }
  } finally {
    file.close();
  }
  const types = { key: "VARCHAR", values: `${columns.value ?? "JSON"}[]` };
  return `SELECT key, unnest("values") AS value FROM (${jsonReader(duck.file(file.name), types)})`;
}

const AT_ONCE = 4;
/** Bytes read at once. */
const CHUNK = 8 * 2 ** 20;

async function fetched(
  duck: Duck,
  work: Pick<BucketReader, "get">,
  { object, etag, run: [offset, length] }: RunPlace,
  name: string,
  signal: AbortSignal,
): Promise<Table> {
  const file = new TableFile(duck, name);
  try {
    for (let at = offset; at < offset + length; at += CHUNK) {
      signal.throwIfAborted();
      const last = Math.min(at + CHUNK, offset + length) - 1;
      const bytes = await work.get(object, { range: [at, last], ifMatch: etag });
      if (bytes.length !== last + 1 - at) throw new MillraceError("failed", `${object} is damaged: it is cut off`);
      file.write(bytes);
    }
  } finally {
    file.close();
  }
  return { file: duck.file(name) };
}

async function sha256Of(file: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(file, { highWaterMark: 2 ** 20 })) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

async function contentIn(
  outputs: BucketReader,
  key: string,
  format: SqlReduceSettings["outputFormat"],
  signal: AbortSignal,
): Promise<Omit<Part, "key">> {
  const content = await contentOf(outputs, key, signal);
  if (format !== "parquet") return content;
  const get = async (from: number, to: number) => Buffer.from(await outputs.get(key, { range: [from, to - 1] }));
  return { ...content, records: (await readFooter({ key, size: content.size }, get)).rows };
}
