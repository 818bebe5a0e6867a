import { MillraceError } from "../../runtime/errors.ts";
import type { FunctionInvoked } from "../../runtime/events.ts";
import type { Handler } from "../../runtime/handler.ts";
import type { BucketReader, BucketRemover, BucketWriter } from "../../runtime/ports.ts";
import type { Gathered } from "./gather.ts";
import { keysOf, outputsOf } from "./keys.ts";
import type { BadRecord } from "./mapper.ts";
import { commitJson, eachOf, findJson, readJson } from "./plan.ts";
import type { Part, Reduced } from "./reduce.ts";
import type { OutputSettings, RunStep } from "./settings.ts";

/** What the end of a run may touch. */
export interface CommitLinks {
  readonly work: BucketReader & BucketRemover;
  readonly outputs: BucketReader & BucketWriter;
}

/** What a run has come to; the last object it writes. Who finds it finds all parts it names. */
export interface Manifest {
  readonly run: string;
  /** Records read, without those skipped. */
  readonly records: number;
  /** Pairs that mappers made of them. */
  readonly pairs: number;
  readonly keys: number;
  readonly skipped: number;
  /** Some of the records that were skipped. */
  readonly bad: readonly BadRecord[];
  readonly parts: readonly Part[];
}

/** What is told of a run. */
export interface CommitResult extends Pick<Manifest, "records" | "pairs" | "keys" | "skipped"> {
  /** The manifest's key in the outputs bucket. */
  readonly manifest: string;
  readonly parts: number;
}

/** Says that a run is complete, by its manifest, and removes all it kept meanwhile. */
export const handler: Handler<FunctionInvoked<RunStep>, CommitLinks, OutputSettings, CommitResult> = async (
  { payload: { run } },
  { links: { work, outputs }, settings: { outputPrefix }, signal, log },
) => {
  const key = outputsOf(outputPrefix, run).manifest;
  const manifest = (await findJson<Manifest>(outputs, key)) ?? (await commitJson(outputs, key, await complete()));
  await removeAll(work, keysOf(run).home, signal).catch((error: unknown) => {
    // They expire; the run is complete without them.
    log.warn("what the run kept meanwhile is not removed", { reason: String(error) });
  });
  const { records, pairs, keys, skipped, parts } = manifest;
  return { manifest: key, records, pairs, keys, skipped, parts: parts.length };

  async function complete(): Promise<Manifest> {
    const gathered = await readJson<Gathered>(work, keysOf(run).gathered);
    const { partitions, records, pairs, written, skipped, bad } = gathered;
    const reduced = await eachOf(partitions, ({ partition }) =>
      readJson<Reduced>(work, keysOf(run).reduced(partition)),
    );
    const sum = (count: "pairs" | "keys") => reduced.reduce((all, one) => all + one[count], 0);
    if (sum("pairs") !== written) {
      throw new MillraceError("failed", `mappers wrote ${written} pairs, and reducers read ${sum("pairs")}`);
    }
    const parts = reduced.flatMap(({ part }) => part ?? []);
    return { run, records, pairs, keys: sum("keys"), skipped, bad, parts };
  }
};

async function removeAll(work: BucketReader & BucketRemover, prefix: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    const { objects } = await work.list({ prefix });
    if (objects.length === 0) return;
    await eachOf(objects, ({ key }) => work.remove(key));
  }
}
