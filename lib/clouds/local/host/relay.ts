import { MillraceError } from "../../../runtime/errors.ts";

/** Values that may wait for a slow reader before its stream is given up, so that it cannot fill the memory. */
const MOST_WAITING = 10_000;

/**
 * What callbacks bring, as a stream: `start` gets `push` for every value and `end` for the promise that ends the
 * stream or fails it, and may answer what takes the callback back. Ends when the signal aborts.
 */
export async function* relay<Value>(
  signal: AbortSignal,
  start: (push: (value: Value) => void, end: (finished: Promise<unknown>) => void) => (() => void) | void,
): AsyncGenerator<Value, void, undefined> {
  const waiting: Value[] = [];
  let outcome: { readonly error?: unknown } | undefined;
  let wake = () => {};
  const finish = (result: { readonly error?: unknown }) => {
    outcome ??= result;
    wake();
  };
  const onAbort = () => finish({});
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) finish({});

  const takeBack = start(
    (value) => {
      if (waiting.length >= MOST_WAITING) {
        waiting.length = 0;
        finish({ error: new MillraceError("unavailable", `the reader is more than ${MOST_WAITING} values behind`) });
      }
      if (!outcome) waiting.push(value);
      wake();
    },
    (finished) =>
      void finished.then(
        () => finish({}),
        (error: unknown) => finish({ error }),
      ),
  );
  try {
    while (true) {
      for (let value = waiting.shift(); value !== undefined; value = waiting.shift()) yield value;
      if (outcome) break;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
    takeBack?.();
  }
  const { error } = outcome;
  if (error !== undefined) throw error;
}
