import { addAbortSignal, type Readable, Transform } from "node:stream";
import { formatBytes } from "../../shared/size.ts";
import type { Terminal } from "../terminal.ts";
import { progressBar } from "./progress.ts";
import { clip, plain } from "./text.ts";

/** Bytes between two redraws: often enough to look alive. */
const STEP = 2 ** 20;
const NAME_LENGTH = 40;

/** Bytes on their way, shown on a terminal. */
export interface Transfer {
  /** The same bytes, counted; fails when the signal aborts. */
  through(body: Readable, signal: AbortSignal): Readable;
  end(): void;
}

/** @param size bytes in all, if that is known */
export function showTransfer(terminal: Terminal, name: string, size: number | undefined): Transfer {
  const live = terminal.live();
  const label = clip(plain(name), NAME_LENGTH);
  let moved = 0;
  let shown = -STEP;
  const show = () => {
    if (moved - shown < STEP) return;
    shown = moved;
    live.show(
      size
        ? `${progressBar(moved / size)}  ${formatBytes(moved)} of ${formatBytes(size)}  ${label}`
        : `${formatBytes(moved)}  ${label}`,
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
