import { open } from "node:fs/promises";
import { join } from "node:path";
import type { BucketReader } from "../../../runtime/ports.ts";
import { type MapCode, type MapLinks, mapping, mapShard } from "../map.ts";
import type { Piece } from "../records.ts";
import type { MapSettings, SqlSettings } from "../settings.ts";
import { Duck, toMillraceError } from "./duck.ts";
import { rawTables } from "./records.ts";

/** Settings of mappers in code over Parquet. */
export type RowsMapSettings = MapSettings & Pick<SqlSettings, "memory" | "threads">;

/**
 * Gives every row of Parquet to the user's mapper, as an object by its columns: DuckDB writes the rows of a piece down
 * as JSON lines, which are read like any others. A bad record's offset is one in those lines.
 */
export const handler = mapping<RowsMapSettings, MapCode>(async (request, pieces, key, context) => {
  const { links, settings, signal } = context;
  const duck = await Duck.open(context.scratch, settings, signal);
  const opened = async (piece: Piece) => {
    const file = await writeRows(duck, { run: request.run, piece, links, signal });
    const { size } = await file.stat();
    return {
      piece: { key: piece.key, etag: piece.etag, size, from: 0, to: size },
      input: readerOf(file),
      close: () => file.close(),
    };
  };
  try {
    return await mapShard(request, pieces, key, { ...context, settings: { ...settings, format: "jsonl" } }, opened);
  } finally {
    duck.close();
  }
});

interface RowsSource {
  readonly run: string;
  readonly piece: Piece;
  readonly links: MapLinks;
  readonly signal: AbortSignal;
}

async function writeRows(duck: Duck, { run, piece, links, signal }: RowsSource) {
  try {
    const source = { run, pieces: [piece], format: "parquet", columns: {}, links, signal } as const;
    await duck.copy((await rawTables(duck, source)).query, "rows", "FORMAT json");
    return await open(join(duck.folder, "rows"));
  } catch (error) {
    throw toMillraceError(error, `the rows of ${piece.key}`);
  }
}

type File = Awaited<ReturnType<typeof open>>;

/** A file as if it were the only object of a bucket. */
const readerOf = (file: File): Pick<BucketReader, "get" | "stream"> => ({
  async get(_, { range: [first, last] = [0, Number.POSITIVE_INFINITY] } = {}) {
    const buffer = Buffer.allocUnsafe(Math.min(last, (await file.stat()).size - 1) + 1 - first);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, first);
    return buffer.subarray(0, bytesRead);
  },
  stream: async () => file.createReadStream({ autoClose: false }),
});
