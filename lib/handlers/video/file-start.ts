import { open } from "node:fs/promises";

/** The first twelve bytes of a file, where most formats name themselves. */
export async function fileStart(path: string): Promise<Buffer> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(12), 0, 12, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** The image format a file begins like. */
export function imageTypeOf(start: Buffer): "png" | "jpeg" | "webp" | undefined {
  const text = start.toString("latin1");
  if (text.startsWith("\x89PNG")) return "png";
  if (text.startsWith("\xff\xd8")) return "jpeg";
  return text.startsWith("RIFF") && text.endsWith("WEBP") ? "webp" : undefined;
}

/**
 * Whether an AVI or WAV is shorter than its first bytes say. FFmpeg shortens what it says of its length to what is
 * there, so nothing later would tell. Recorders that never came back to fill the size in leave none or the largest.
 */
export function isCutRiff(start: Buffer, size: number): boolean {
  if (start.length < 8 || start.toString("latin1", 0, 4) !== "RIFF") return false;
  const stated = start.readUInt32LE(4);
  return stated > 0 && stated < 0xffff_ff00 && stated + 8 > size;
}
