import type { Codec } from "./member.ts";

/** How files end, by what they are compressed with. */
const ENDINGS: Readonly<Record<Codec, string>> = { gzip: ".log.gz", zstd: ".log.zst" };

/** What a file of an archive is called, on the volume. */
export interface FileName {
  readonly slot: number;
  /** Grows with every file of the slot: a file belongs to those who wrote under this token, one after the other. */
  readonly token: number;
  /** Differs where tokens begin anew, for a table was lost. */
  readonly tag: string;
  readonly codec: Codec;
}

/** `03-00000012-x7k2.log.gz`: files of a slot sort as they were begun. */
export const fileName = ({ slot, token, tag, codec }: FileName): string =>
  `${String(slot).padStart(2, "0")}-${String(token).padStart(8, "0")}-${tag}${ENDINGS[codec]}`;

const NAME = /^(\d{2,})-(\d{8,})-([a-z0-9]+)(?:_(-?\d+)_(-?\d+))?(\.log\.(?:gz|zst))$/;

/** What a name says; undefined: it is none of an archive's. */
export function parseFileName(name: string): FileName | undefined {
  const [, slot, token, tag, , , ending] = NAME.exec(name) ?? [];
  if (slot === undefined || token === undefined || tag === undefined) return undefined;
  return { slot: Number(slot), token: Number(token), tag, codec: ending === ENDINGS.zstd ? "zstd" : "gzip" };
}

/** What an object's key says. */
export interface ObjectPlace {
  /** What stands for its application. */
  readonly folder: string;
  /** Its name on the volume. */
  readonly file: string;
  /** When its first line was archived, milliseconds since 1970; the file has nothing of another hour. */
  readonly begun: number;
  /** The least and the greatest timestamp of its records, milliseconds since 1970. */
  readonly earliest: number;
  readonly latest: number;
}

/**
 * Where a file goes in the bucket. Days and hours are those of UTC in which its lines were archived, not of their
 * timestamps: those are what senders say, and any of them would open a file of its own. The timestamps are in the name,
 * so that who looks for some need not open the others.
 */
export function objectKey(prefix: string, { folder, file, begun, earliest, latest }: ObjectPlace): string {
  const { ending, stem } = parted(file);
  return `${hourPrefix(prefix, folder, begun)}${stem}_${earliest}_${latest}${ending}`;
}

/** What the keys of an hour's files of an application begin with. */
export function hourPrefix(prefix: string, folder: string, time: number): string {
  const [day, rest] = new Date(time).toISOString().split("T") as [string, string];
  return `${applicationPrefix(prefix, folder)}dt=${day}/hour=${rest.slice(0, 2)}/`;
}

/** What the keys of all files of an application begin with. */
export const applicationPrefix = (prefix: string, folder: string): string => `${prefix}app=${folder}/`;

/** What the last part of a key says; undefined: it is none of an archive's. */
export function parseKey(key: string): Pick<ObjectPlace, "file" | "earliest" | "latest"> | undefined {
  const name = key.slice(key.lastIndexOf("/") + 1);
  const [, , , , earliest, latest] = NAME.exec(name) ?? [];
  if (earliest === undefined || latest === undefined) return undefined;
  const { stem, ending } = parted(name);
  return { file: stem.slice(0, stem.indexOf("_")) + ending, earliest: Number(earliest), latest: Number(latest) };
}

function parted(name: string): { readonly stem: string; readonly ending: string } {
  const at = name.indexOf(".log.");
  return { stem: name.slice(0, at), ending: name.slice(at) };
}
