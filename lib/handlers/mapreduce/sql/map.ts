import { createReadStream, readdirSync } from "node:fs";
import { join } from "node:path";
import { MillraceError } from "../../../runtime/errors.ts";
import type { Context } from "../../../runtime/handler.ts";
import { combineOf } from "../combine.ts";
import { type Counted, type MapLinks, type Mapped, type MapRequest, mapping } from "../map.ts";
import { Pairs } from "../pairs.ts";
import { putBytes } from "../put.ts";
import type { Piece } from "../records.ts";
import type { SqlMapSettings } from "../settings.ts";
import { codecHere, type Run } from "../shuffle.ts";
import type { CombinerModule, GroupProgram } from "../user-code.ts";
import { Duck, DuckError, toMillraceError } from "./duck.ts";
import { plainTable, type RecordSource, type RecordsQuery, rawTables, type WholeFiles, wholeFiles } from "./records.ts";
import { checkColumns, portable } from "./tables.ts";

/** The user's code besides the query. */
export interface SqlMapCode {
  readonly combiner?: CombinerModule | GroupProgram;
}

type SqlMapContext = Context<MapLinks, SqlMapSettings, SqlMapCode>;

/** Runs the mapper's query over the records that start in a shard. */
export const handler = mapping<SqlMapSettings, SqlMapCode>(async (request, pieces, key, context) => {
  const { links, settings, scratch, signal } = context;
  const whole = await wholeFiles(links.input, { pieces, format: settings.format });
  const duck = await Duck.open(scratch, settings, signal, [...whole.values()]);
  try {
    return await mapped(duck, { request, pieces, whole, key }, context);
  } catch (error) {
    throw toMillraceError(error, "the mapper's query");
  } finally {
    duck.close();
  }
});

interface Shard {
  readonly request: MapRequest;
  readonly pieces: readonly Piece[];
  readonly whole: WholeFiles;
  /** Of the object that is put. */
  readonly key: string;
}

async function mapped(duck: Duck, { request, pieces, whole, key }: Shard, context: SqlMapContext): Promise<Mapped> {
  const { settings, links, signal } = context;
  const { format, columns, skips } = settings;
  const source: RecordSource = { run: request.run, pieces, format, columns, links, signal };
  const counted: Counted = { records: 0, skipped: 0, bad: [] };
  const answer = () => (settings.rows ? putRows(duck, key, context) : putPairs(duck, key, request.run, context));
  const asked = async (records: RecordsQuery) => {
    await duck.run(`CREATE OR REPLACE VIEW records AS ${records.query}`);
    const made = await answer();
    counted.records = readOf(duck, records);
    return made;
  };
  try {
    const made = await asked(await rawTables(duck, source, whole));
    return { ...counted, ...made };
  } catch (error) {
    if (!(error instanceof DuckError && error.isOfData) || format === "parquet") throw error;
  }
  // A record is to blame, or the query: with the records that can be read it works, or never.
  const made = await asked(await plainTable(duck, source, counted, skips));
  return { ...counted, ...made };
}

/** Records that the query has read, however often it went through them. */
function readOf(duck: Duck, { tables, records }: RecordsQuery): number {
  if (records !== undefined) return records;
  const { rows, scans } = duck.scanned();
  return scans === 0 ? 0 : Math.round((rows * tables) / scans);
}

type Made = Pick<Mapped, "object" | "runs" | "pairs" | "written">;

const PARTITION = "millrace_partition";

/** Rows for a reducer in SQL: files of Parquet, one or several for each partition, one behind the other. */
async function putRows(duck: Duck, key: string, { settings, links, signal }: SqlMapContext): Promise<Made> {
  const query = await duck.checked(settings.sql);
  await checkColumns(duck, query, ["key"]);
  // The same for a key on all mappers, whatever version of DuckDB each of them has.
  const partition = `coalesce(md5_number_lower(CAST(key AS VARCHAR)), 0) % ${settings.partitions}`;
  const rows = `SELECT *, ${partition} AS ${PARTITION} FROM (${await portable(duck, query)}\n)`;
  const options = `FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, PARTITION_BY (${PARTITION}), OVERWRITE true`;
  const written = await duck.copy(rows, "rows", options);
  if (written === 0) return { runs: [], pairs: 0, written };

  const runs = new Map<number, Run[]>();
  async function* bytes(): AsyncGenerator<Buffer, void> {
    let offset = 0;
    for (const { partition, file } of filesOf(join(duck.folder, "rows"))) {
      const start = offset;
      for await (const chunk of createReadStream(file, { highWaterMark: CHUNK })) {
        signal.throwIfAborted();
        offset += (chunk as Buffer).length;
        yield chunk as Buffer;
      }
      runs.set(partition, [...(runs.get(partition) ?? []), [start, offset - start]]);
    }
  }
  const object = await putBytes(links.work, key, bytes());
  if (!object) throw new MillraceError("failed", `${written} rows were written, and no file is there`);
  return { object: { key, etag: object.etag, codec: "parquet" }, runs: [...runs], pairs: written, written };
}

/** Read at once of what is put. */
const CHUNK = 2 ** 20;

/** https://duckdb.org/docs/stable/data/partitioning/partitioned_writes */
function filesOf(folder: string): readonly { readonly partition: number; readonly file: string }[] {
  const partitions = readdirSync(folder).map((name) => ({ name, partition: Number(name.split("=")[1]) }));
  return partitions
    .sort((one, other) => one.partition - other.partition)
    .flatMap(({ name, partition }) =>
      readdirSync(join(folder, name)).map((file) => ({ partition, file: join(folder, name, file) })),
    );
}

/** Pairs for a reducer in code. */
async function putPairs(duck: Duck, key: string, run: string, { settings, links, code }: SqlMapContext): Promise<Made> {
  const query = await duck.checked(settings.sql);
  await checkColumns(duck, query, ["key", "value"]);
  const { partitions, buffer } = settings;
  const codec = codecHere();
  const pairs = new Pairs({ partitions, buffer, codec, ...combineOf(code.combiner, { run, object: "" }) });
  const texts = `SELECT CAST(key AS VARCHAR), coalesce(CAST(to_json(value) AS VARCHAR), 'null') FROM (${query}\n)`;

  async function* bytes(): AsyncGenerator<Buffer, void> {
    for await (const rows of duck.texts(texts)) {
      for (const [of, value] of rows) {
        if (of === null || of === undefined) throw new MillraceError("bad-input", "the mapper's query: a key is NULL");
        pairs.add(of, JSON.parse(value!));
      }
      if (pairs.isFull) yield* pairs.flush();
    }
    yield* pairs.flush();
  }

  const object = await putBytes(links.work, key, bytes());
  return {
    ...(object && { object: { key, etag: object.etag, codec } }),
    runs: [...pairs.runs],
    pairs: pairs.taken,
    written: pairs.written,
  };
}
