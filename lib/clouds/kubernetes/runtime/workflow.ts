import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import { MillraceError } from "../../../runtime/errors.ts";
import type { WorkflowAnswerer, WorkflowController, WorkflowStarter } from "../../../runtime/ports.ts";
import {
  type Answer,
  isOver,
  RUN_ID,
  type WorkflowFilter,
  type WorkflowHistory,
  type WorkflowPage,
  type WorkflowRun,
} from "../../../runtime/workflows/run.ts";
import type { KubernetesWorld } from "./account.ts";
import type { FlowMessage } from "./flow-keeper.ts";
import { type FlowRows, idAndTime, rowsOf, runOf } from "./flow-rows.ts";
import { publish } from "./nats.ts";

/** A workflow whose runs Argo does. */
export const port = (address: LinkAddress, world: KubernetesWorld): ArgoFlow => new ArgoFlow(address, world);

/** Of a run's input as JSON: in base64 it goes into a variable of a pod, which Linux bounds at 128 KiB. */
const MOST_BYTES = 64 * 1024;
/** Rows that are read at once for a list. */
const AT_ONCE = 16;
/** Rows that are looked through for one page of a list. */
const LOOKED_THROUGH = 10_000;

/**
 * Runs of one workflow. They are rows of its table: what is asked for is written there and told to the workflow's keeper,
 * the only one that may make Workflows of Argo, for whoever may make one may run anything in the namespace.
 */
export class ArgoFlow implements WorkflowStarter, WorkflowController, WorkflowAnswerer {
  readonly #part: string;
  readonly #keeper: string;
  readonly #rows: FlowRows;
  readonly #world: KubernetesWorld;

  constructor(address: LinkAddress, world: KubernetesWorld) {
    this.#part = address.part;
    this.#keeper = field(address, "keeper");
    this.#rows = rowsOf(address, world);
    this.#world = world;
  }

  /** @throws `bad-input` for an id that is none, `refused` for an input that is too large */
  async start(id: string, input: unknown): Promise<WorkflowRun> {
    checkId(id);
    const bytes = Buffer.byteLength(JSON.stringify(input ?? null));
    if (bytes > MOST_BYTES) {
      throw new MillraceError(
        "refused",
        `the input has ${bytes} bytes, and a workflow of Argo carries at most ${MOST_BYTES}: put it into a bucket and pass its key`,
      );
    }
    const { row, isNew } = await this.#rows.begin(id, input ?? null);
    // Whoever began it may have been killed before the keeper was told.
    if (!isOver(row.status) && row.made !== row.round) {
      await this.#rows.announce(row);
      await this.#tell(id);
    }
    return { ...runOf(this.#part, row), ...(!isNew && { deduplicated: true }) };
  }

  async get(id: string): Promise<WorkflowHistory | undefined> {
    checkId(id);
    const [row, steps] = await Promise.all([this.#rows.get(id), this.#rows.steps(id)]);
    if (!row) return undefined;
    const { input, output = null, status } = row.value;
    return { run: runOf(this.#part, row.value), input, ...(status === "succeeded" && { output }), steps };
  }

  async list({ status, after, before, prefix = "", limit = 100, cursor }: WorkflowFilter = {}): Promise<WorkflowPage> {
    const wanted = status === undefined ? undefined : [status].flat();
    const runs: WorkflowRun[] = [];
    let next = cursor;
    let looked = 0;
    do {
      const page = await this.#rows.times(next, before, AT_ONCE);
      const isPast = (key: string) => after !== undefined && idAndTime(key).time < Date.parse(after);
      const keys = page.keys.filter((key) => !isPast(key));
      const ids = keys.map((key) => idAndTime(key).id);
      const found = await Promise.all(ids.map((id) => (id.startsWith(prefix) ? this.#rows.get(id) : undefined)));
      next = keys.length < page.keys.length ? undefined : page.next;
      looked += keys.length;
      for (const [index, row] of found.entries()) {
        if (!row || (wanted && !wanted.includes(row.value.status))) continue;
        runs.push(runOf(this.#part, row.value));
        const isLast = index === found.length - 1 && next === undefined;
        if (runs.length === limit) return { runs, ...(!isLast && { next: keys[index]! }) };
      }
    } while (next !== undefined && looked < LOOKED_THROUGH);
    return { runs, ...(next !== undefined && { next }) };
  }

  /** Argo asks the pods that run to end, and gives them their time. */
  async stop(id: string): Promise<WorkflowRun> {
    checkId(id);
    const row = await this.#rows.change(id, (row) =>
      row.status === "running" ? { ...row, status: "stopping" } : undefined,
    );
    if (!row) throw this.#unknown(id);
    if (row.status === "stopping") await this.#tell(id);
    return runOf(this.#part, row);
  }

  /** A new Workflow of Argo, whose steps are answered from what was done before. @throws `conflict` unless it failed or was stopped */
  async retry(id: string): Promise<WorkflowRun> {
    checkId(id);
    const row = await this.#rows.change(id, (row) => {
      if (row.status !== "failed" && row.status !== "stopped") {
        throw new MillraceError("conflict", `"${id}" is ${row.status}: only what failed or was stopped is retried`);
      }
      const { ended: _, error: __, ...rest } = row;
      return { ...rest, status: "running", round: row.round + 1 };
    });
    if (!row) throw this.#unknown(id);
    await this.#rows.announce(row);
    await this.#tell(id);
    return runOf(this.#part, row);
  }

  /** @throws `not-found` where there is no such run */
  async answer(callback: string, answer: Answer): Promise<void> {
    if (!(await this.has(callback))) {
      throw new MillraceError("not-found", `no step of "${this.#part}" waits for an answer to "${callback}"`);
    }
    const slash = callback.indexOf("/");
    const said =
      "error" in answer
        ? ({ status: "failed", error: { ...answer.error, message: answer.error.message.slice(0, 1024) } } as const)
        : ({ status: "succeeded", output: answer.output ?? null } as const);
    const bytes = Buffer.byteLength(JSON.stringify(said));
    if (bytes > MOST_BYTES) {
      throw new MillraceError(
        "refused",
        `the answer has ${bytes} bytes, and a workflow of Argo carries at most ${MOST_BYTES}: put it into a bucket and answer its key`,
      );
    }
    await this.#rows.keepAnswer(callback.slice(0, slash), callback.slice(slash + 1), said);
  }

  /** Whether a callback is of a run of this workflow. */
  async has(callback: string): Promise<boolean> {
    const [, id] = /^([^/]+)\/./.exec(callback) ?? [];
    return id !== undefined && RUN_ID.test(id) && (await this.#rows.get(id)) !== undefined;
  }

  #unknown(id: string): MillraceError {
    return new MillraceError("not-found", `${this.#part} has no run "${id}"`);
  }

  /** A keeper that is away finds it in its stream; one that never hears of it, within a minute. */
  async #tell(run: string): Promise<void> {
    const body = JSON.stringify({ millrace: "look", run } satisfies FlowMessage);
    await publish(await this.#world.nats(), `tell the keeper at ${this.#keeper}`, { subject: this.#keeper, body });
  }
}

function checkId(id: string): void {
  if (RUN_ID.test(id)) return;
  throw new MillraceError(
    "bad-input",
    `id: got ${JSON.stringify(id)}, allowed: letters, digits, - and _, a letter or digit first, at most 64`,
  );
}
