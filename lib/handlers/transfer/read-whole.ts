import type { Readable } from "node:stream";
import { MillraceError } from "../../runtime/errors.ts";

/**
 * Reads a stream into a buffer, which it has to fill.
 *
 * @throws `unavailable` where the line breaks, or the stream ends too early or too late.
 */
export async function readWhole(stream: Readable, into: Buffer, what: string, signal: AbortSignal): Promise<Buffer> {
  const stop = () => stream.destroy(signal.reason);
  signal.addEventListener("abort", stop, { once: true });
  let length = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      chunk.copy(into, length);
      length += chunk.length;
      if (length > into.length) break;
    }
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof MillraceError) throw error;
    throw new MillraceError("unavailable", `${what}: the line broke after ${length} bytes`, { cause: error });
  } finally {
    signal.removeEventListener("abort", stop);
    stream.destroy();
  }
  if (length === into.length) return into;
  throw new MillraceError("unavailable", `${what}: the stream had not the ${into.length} bytes it was asked for`);
}
