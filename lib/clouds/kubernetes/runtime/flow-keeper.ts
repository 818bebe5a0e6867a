import { type ConsumerMessages, jetstream } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { type Clock, sleep } from "../../../runtime/clock.ts";
import { type ErrorRecord, MillraceError, toErrorRecord } from "../../../runtime/errors.ts";
import type { Log } from "../../../runtime/handler.ts";
import { isOver, type StepRecord, type WorkflowStatus } from "../../../runtime/workflows/run.ts";
import { type ArgoWorkflow, type ArgoWorkflows, type FlowRef, isEnded, nodesOf, parameterIn, refOf } from "./argo.ts";
import type { FlowRow, FlowRows } from "./flow-rows.ts";
import { type FlowTemplates, readAnswer, recordsOf } from "./flow-steps.ts";
import { callbackOf } from "./flow-turns.ts";

/** What a workflow's keeper is told: that somebody wants something of a run. What it is, its row says. */
export interface FlowMessage {
  readonly millrace: "look";
  readonly run: string;
}

/** What a keeper works with. */
export interface FlowKeeperWorld {
  /** The WorkflowTemplate's name. */
  readonly template: string;
  readonly templates: FlowTemplates;
  /** Longest time of a run, in seconds. */
  readonly timeout: number;
  readonly rows: FlowRows;
  readonly workflows: ArgoWorkflows;
  readonly nats: () => Promise<NatsConnection>;
  /** Where its messages come from. */
  readonly stream: string;
  readonly consumer: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** It looks at every run that is not over that often, in milliseconds, whatever it is told. */
const ROUND = 60_000;
/** Milliseconds until what has changed is written down, and until what failed is tried again. */
const AGAIN = 2000;

/**
 * Looks after the runs of one workflow: makes their Workflows as their rows say, and writes down how those go. Several at
 * once do no harm, as while one takes over from another: a Workflow has its round's name, and a row is changed only if
 * nobody has changed it since.
 */
export class FlowKeeper {
  readonly #world: FlowKeeperWorld;
  /** As they were last heard of, until that is written down; by their names. */
  readonly #changed = new Map<string, ArgoWorkflow>();
  #turned: number;

  constructor(world: FlowKeeperWorld) {
    this.#world = world;
    this.#turned = world.clock.now();
  }

  /** Until the signal aborts, and what is under way then has come to its end. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#turn(signal), this.#listen(signal), this.#follow(signal)]);
  }

  /** Whether it still comes round. */
  get isAlive(): boolean {
    return this.#world.clock.now() - this.#turned < 5 * ROUND;
  }

  /** Writes down what has changed, and looks at every run from time to time: a message may be lost, a Workflow be deleted. */
  async #turn(signal: AbortSignal): Promise<void> {
    const { rows, clock } = this.#world;
    let next = 0;
    await this.#repeatedly(signal, "its runs", async () => {
      for (const [name, workflow] of [...this.#changed]) {
        if (signal.aborted) return;
        await this.#note(workflow);
        // It may have changed again meanwhile.
        if (this.#changed.get(name) === workflow) this.#changed.delete(name);
      }
      if (clock.now() >= next) {
        for (const id of await rows.live()) {
          if (signal.aborted) return;
          await this.#look(id);
        }
        next = clock.now() + ROUND;
      }
      this.#turned = clock.now();
    });
  }

  async #listen(signal: AbortSignal): Promise<void> {
    const { nats, stream, consumer, log } = this.#world;
    await this.#repeatedly(signal, "its messages", async () => {
      const found = await jetstream(await nats()).consumers.get(stream, consumer);
      const messages: ConsumerMessages = await found.consume({ max_messages: 16 });
      const stop = () => messages.stop();
      signal.addEventListener("abort", stop, { once: true });
      try {
        for await (const message of messages) {
          // One that is not acknowledged comes again, to whoever is there then.
          if (signal.aborted) break;
          try {
            await this.#look(message.json<FlowMessage>().run);
            message.ack();
          } catch (error) {
            log.warn("a run could not be looked at, and is again", { error: toErrorRecord(error).message });
            if (error instanceof SyntaxError) message.term();
            else message.nak(AGAIN);
          }
        }
      } finally {
        signal.removeEventListener("abort", stop);
      }
    });
  }

  async #follow(signal: AbortSignal): Promise<void> {
    await this.#repeatedly(signal, "its Workflows", async () => {
      for await (const news of this.#world.workflows.follow(signal)) {
        for (const workflow of news.type === "all" ? news.workflows : [news.workflow]) {
          this.#changed.set(workflow.metadata.name, workflow);
        }
      }
    });
  }

  /** Does what the run's row asks for. */
  async #look(id: string): Promise<void> {
    const { rows, workflows, template } = this.#world;
    const row = (await rows.get(id))?.value;
    if (!row || isOver(row.status)) return;
    const ref: FlowRef = { template, run: id, round: row.round };
    const found = await workflows.find(ref);
    if (found && isEnded(found)) return this.#note(found);
    if (row.status === "stopping") {
      if (found) return workflows.end(ref);
      return this.#end(row, "stopped", {});
    }
    if (found) return;
    if (row.made === row.round) {
      const error: ErrorRecord = { kind: "interrupted", message: "its Workflow was deleted" };
      return this.#end(row, "failed", { error });
    }
    await this.#make(row, ref);
  }

  async #make(row: FlowRow, ref: FlowRef): Promise<void> {
    const { rows, workflows, log } = this.#world;
    try {
      await workflows.create(ref, Buffer.from(JSON.stringify(row.input ?? null)).toString("base64"));
    } catch (error) {
      if (!(error instanceof MillraceError) || error.kind === "unavailable") throw error;
      const { kind, message } = error;
      return this.#end(row, "failed", { error: { kind, message: `could not start: ${message}` } });
    }
    log.info("a run was started", { run: row.id });
    const isSame = (now: FlowRow) => now.round === row.round && !isOver(now.status);
    const now = await rows.change(row.id, (now) => (isSame(now) ? { ...now, made: row.round } : undefined));
    // Whoever stopped it in between was told that it is not there.
    if (now?.status === "stopping") await workflows.end(ref);
  }

  /** Writes down how a Workflow goes, or went. */
  async #note(workflow: ArgoWorkflow): Promise<void> {
    const { rows, templates, template } = this.#world;
    const ref = refOf(workflow);
    const row = ref?.template === template ? (await rows.get(ref.run))?.value : undefined;
    if (!row || row.round !== ref!.round || isOver(row.status)) return;
    const end = isEnded(workflow) ? this.#endOf(row, workflow) : undefined;
    const status = end?.status ?? row.status;
    const records = recordsOf(nodesOf(workflow), templates, { id: row.id, status });
    await rows.keepSteps(row.id, await Promise.all(records.map((record) => this.#withCallback(row.id, record))));
    if (end) await this.#end(row, end.status, end, workflow.status?.finishedAt);
  }

  /** A step that asks says what its answer has to name. */
  async #withCallback(run: string, record: StepRecord): Promise<StepRecord> {
    const { rows, templates } = this.#world;
    const asks = Object.values(templates).some(([step, type]) => step === record.step && type === "callback");
    if (record.status !== "waiting" || !asks) return record;
    return { ...record, callback: callbackOf(`${run}/${record.path}`, await rows.turns(run, record.path)) };
  }

  #endOf(
    row: FlowRow,
    { spec, status = {} }: ArgoWorkflow,
  ): { readonly status: WorkflowStatus } & Pick<FlowRow, "output" | "error"> {
    const answer = readAnswer(parameterIn(status.outputs, "answer"));
    if (status.phase === "Succeeded")
      return { status: "succeeded", output: answer && "output" in answer ? answer.output : null };
    if (row.status === "stopping" || spec?.shutdown) return { status: "stopped" };
    if (answer?.status === "failed") return { status: "failed", error: answer.error };
    const { startedAt = row.started, finishedAt = startedAt, message } = status;
    if (Date.parse(finishedAt) - Date.parse(startedAt) >= this.#world.timeout * 1000) {
      return {
        status: "failed",
        error: { kind: "timed-out", message: "the run took longer than its workflow allows" },
      };
    }
    return { status: "failed", error: { kind: "failed", message: `Argo: ${message || "it does not say why"}` } };
  }

  async #end(
    { id, round }: FlowRow,
    status: WorkflowStatus,
    { output, error }: Pick<FlowRow, "output" | "error">,
    time?: string,
  ): Promise<void> {
    const { rows, clock, log } = this.#world;
    const ended = time ?? new Date(clock.now()).toISOString();
    const result = { ...(output !== undefined && { output }), ...(error && { error }) };
    const row = await rows.change(id, (row) =>
      row.round === round && !isOver(row.status) ? { ...row, status, ended, made: round, ...result } : undefined,
    );
    if (row?.ended === ended) log.info(`a run ${status === "stopped" ? "was stopped" : status}`, { run: id });
  }

  async #repeatedly(signal: AbortSignal, what: string, work: () => Promise<void>): Promise<void> {
    const { clock, log } = this.#world;
    while (!signal.aborted) {
      try {
        await work();
      } catch (error) {
        if (!signal.aborted) log.warn(`${what}: trying again`, { error: toErrorRecord(error).message });
      }
      await sleep(clock, AGAIN, signal).catch(() => {});
    }
  }
}

/** What a keeper's bundle is made of. */
export const handler = (world: FlowKeeperWorld): FlowKeeper => new FlowKeeper(world);
