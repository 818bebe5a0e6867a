type Unit = "KB" | "MB" | "GB" | "TB";

/** An amount of memory or storage as people write it: `"512 MB"`, `"10 GB"`; 1 KB is 1,024 bytes. */
export type Size = `${number} ${Unit}`;

const BYTES: Readonly<Record<Unit, number>> = { KB: 2 ** 10, MB: 2 ** 20, GB: 2 ** 30, TB: 2 ** 40 };

/**
 * The bytes in a size.
 *
 * @throws if the text is not a number and a unit.
 * @example
 * toBytes("512 MB"); // 536870912
 */
export function toBytes(size: Size): number {
  const [, amount, unit] = /^(\d+(?:\.\d+)?) (KB|MB|GB|TB)$/.exec(size) ?? [];
  if (amount === undefined || unit === undefined) {
    throw new Error(`a size is a number and a unit, such as "512 MB" or "10 GB", got "${size}"`);
  }
  return Math.round(Number(amount) * BYTES[unit as Unit]);
}

/** The bytes, or something else where the size cannot be read: that is a problem, told elsewhere. */
export function bytesOr(size: Size, otherwise: number): number {
  try {
    return toBytes(size);
  } catch {
    return otherwise;
  }
}

/** The megabytes in a size. */
export const toMegabytes = (size: Size): number => toBytes(size) / BYTES.MB;

/** Bytes as people read them, to three digits or whole: `1536` is `"1.5 KB"`, `1023 MB` stays so. */
export function formatBytes(bytes: number): string {
  if (bytes < BYTES.KB) return `${bytes} B`;
  const unit = (["TB", "GB", "MB", "KB"] as const).find((name) => bytes >= BYTES[name])!;
  const amount = bytes / BYTES[unit];
  return `${amount >= 1000 ? Math.round(amount) : Number(amount.toPrecision(3))} ${unit}`;
}
