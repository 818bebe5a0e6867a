import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import { MillraceError } from "../../../runtime/errors.ts";
import type { Row, TableReader, TableWriter, WorkflowAnswerer } from "../../../runtime/ports.ts";
import type { CallbackKeeper } from "../../../runtime/workflows/links.ts";
import type { Answer } from "../../../runtime/workflows/run.ts";
import type { StepAnswer } from "../../../runtime/workflows/step-call.ts";
import type { AlicloudWorld } from "./account.ts";
import { Flows } from "./flows.ts";
import { port as tablestorePort } from "./tablestore.ts";

/** Who waits, and what came of it, whichever is first. */
interface Waiting {
  readonly token?: string;
  /** Of the run when it was asked last: 1, and one more for each retry. */
  readonly round?: number;
  readonly answer?: StepAnswer;
}

/** As long as an execution may last, in milliseconds. */
const YEAR = 366 * 86_400_000;

/** The steps of a workflow that wait for an answer, in its own table. */
export async function callbacksOf(
  address: LinkAddress,
  world: AlicloudWorld,
): Promise<CallbackKeeper & WorkflowAnswerer> {
  const table = await rowsOf(address, world);
  const flows = new Flows(address, world);
  const change = (callback: string, with_: (now: Waiting) => Waiting) => changed(table, callback, with_, world);
  return {
    async expect(callback, token, round) {
      const { answer } = await change(callback, (now) => {
        // What failed a run is asked anew when the run is retried.
        const isOld = now.answer?.status === "failed" && (now.round ?? 1) < round;
        return { token, round, ...(now.answer && !isOld && { answer: now.answer }) };
      });
      if (answer) await flows.report(token, JSON.stringify(answer));
      return answer !== undefined;
    },
    async answer(callback, given) {
      const said = toStepAnswer(given);
      const { token, answer } = await change(callback, (now) => ({ ...now, answer: now.answer ?? said }));
      if (token === undefined) return;
      // A second answer may be the first one once more, of which the service was not told: it gets the first again.
      await flows.report(token, JSON.stringify(answer)).catch((error: unknown) => {
        if (answer === said) throw error;
      });
    },
  };
}

/** The workflow's callbacks as the function that asks has them. */
export const port = callbacksOf;

/** The workflow's own table: who waits, and batches of items. */
export const rowsOf = (address: LinkAddress, world: AlicloudWorld): Promise<TableReader & TableWriter> =>
  tablestorePort(tableAddress(address), world);

const tableAddress = (address: LinkAddress): LinkAddress => ({
  kind: "table",
  part: field(address, "table"),
  instance: field(address, "instance"),
  table: field(address, "table"),
  region: field(address, "region"),
  ...(address.tableEndpoint !== undefined && { endpoint: address.tableEndpoint }),
});

const toStepAnswer = (given: Answer): StepAnswer =>
  "error" in given
    ? { status: "failed", error: { kind: given.error.kind, message: given.error.message.slice(0, 1024) } }
    : { status: "succeeded", output: given.output ?? null };

/** Reads, changes and writes a row until nobody came between. */
async function changed(
  table: TableReader & TableWriter,
  callback: string,
  change: (now: Waiting) => Waiting,
  { clock }: AlicloudWorld,
): Promise<Waiting> {
  const [run, path] = partsOf(callback);
  for (;;) {
    const row: Row<Waiting> | undefined = await table.get<Waiting>(run, path);
    const next = change(row?.value ?? {});
    try {
      await table.put(run, path, next, { ifVersion: row?.version ?? "absent", expires: clock.now() + YEAR });
      return next;
    } catch (error) {
      if (!(error instanceof MillraceError && error.kind === "conflict")) throw error;
    }
  }
}

/** @throws `not-found` for what is no callback. */
function partsOf(callback: string): readonly [run: string, path: string] {
  const [, run, path] = /^([A-Za-z0-9][A-Za-z0-9_-]{0,63})\/(.+)$/.exec(callback) ?? [];
  if (run === undefined || path === undefined) throw new MillraceError("not-found", `no callback: ${callback}`);
  return [run, path];
}
