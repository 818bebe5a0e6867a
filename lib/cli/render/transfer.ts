import { performance } from "node:perf_hooks";
import { addAbortSignal, type Readable, Transform } from "node:stream";
import { formatBytes } from "../../shared/size.ts";
import type { Terminal } from "../terminal.ts";
import { progressBar } from "./progress.ts";
import { clip, plain } from "./text.ts";
import { formatSpan } from "./time.ts";

/** Bytes between two redraws: often enough to look alive. */
const STEP = 2 ** 20;
const NAME_LENGTH = 40;

/** Bytes on their way, shown on a terminal. */
export interface Transfer {
  /** The same bytes, counted; fails when the signal aborts. */
  through(body: Readable, signal: AbortSignal): Readable;
  end(): void;
}

/**
 * @param size bytes in all, if that is known
 * @param now milliseconds since any moment
 */
export function showTransfer(
  terminal: Terminal,
  name: string,
  size: number | undefined,
  now = performance.now.bind(performance),
): Transfer {
  const live = terminal.live();
  const label = clip(plain(name), NAME_LENGTH);
  let moved = 0;
  let shown = -STEP;
  const begun = now();
  const show = () => {
    if (moved - shown < STEP) return;
    shown = moved;
    const speed = pace(moved, size, now() - begun);
    live.show(
      size
        ? `${progressBar(moved / size)}  ${formatBytes(moved)} of ${formatBytes(size)}${speed}  ${label}`
        : `${formatBytes(moved)}${speed}  ${label}`,
    );
  };
  return {
    through(body, signal) {
      const counter = new Transform({
        transform(chunk: Uint8Array, _encoding, done) {
          moved += chunk.length;
          show();
          done(null, chunk);
        },
      });
      body.on("error", (error) => counter.destroy(error));
      counter.on("close", () => body.destroy());
      return body.pipe(addAbortSignal(signal, counter));
    },
    end: () => live.clear(),
  };
}

/** Milliseconds before which the first bytes, which fill buffers, say nothing. */
const SETTLED = 1000;

/** `, 58 MB/s, 12 s left`. */
function pace(moved: number, size: number | undefined, milliseconds: number): string {
  if (milliseconds < SETTLED || moved === 0) return "";
  const rate = `, ${formatBytes(Math.round((moved * 1000) / milliseconds))}/s`;
  return size ? `${rate}, ${formatSpan(((size - moved) / moved) * milliseconds)} left` : rate;
}
