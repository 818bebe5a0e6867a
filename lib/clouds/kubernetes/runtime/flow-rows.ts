import { gunzipSync, gzipSync } from "node:zlib";
import type { Clock } from "../../../runtime/clock.ts";
import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import { type ErrorRecord, MillraceError } from "../../../runtime/errors.ts";
import type { Row, TableReader, TableWriter } from "../../../runtime/ports.ts";
import { isOver, type StepRecord, type WorkflowRun, type WorkflowStatus } from "../../../runtime/workflows/run.ts";
import type { StepAnswer } from "../../../runtime/workflows/step-call.ts";
import type { KubernetesWorld } from "./account.ts";
import { port as tablePort } from "./table.ts";

/** A run as it lies in its workflow's table. Times are ISO 8601. */
export interface FlowRow {
  readonly id: string;
  readonly status: WorkflowStatus;
  readonly started: string;
  readonly ended?: string;
  readonly error?: ErrorRecord;
  readonly input: unknown;
  readonly output?: unknown;
  /** Workflows of Argo that are meant to be made of it: one, and one more for each retry. */
  readonly round: number;
  /** The last round that the keeper has made one for. */
  readonly made?: number;
}

/** Milliseconds that a run is remembered after its end: 90 days. */
const KEPT = 90 * 86_400_000;
/** Bytes of all steps of a run, packed: NATS takes messages of 1 MB, as it comes. */
const MOST_STEPS = 700_000;

/** Where rows lie. A run's own partition is its id, which has no `$`. */
const RUNS = "$runs";
/** By time, the newest first. */
const TIMES = "$times";
/** Runs that are not over. */
const LIVE = "$live";
const STEPS = "steps";

/** What is known of one workflow's runs, and of their steps: starters write it, its keeper and its pods do, and all read it. */
export class FlowRows {
  readonly #table: TableReader & TableWriter;
  readonly #clock: Clock;

  constructor(table: string, world: KubernetesWorld) {
    this.#table = tablePort({ kind: "table", part: table, table }, world);
    this.#clock = world.clock;
  }

  get(id: string): Promise<Row<FlowRow> | undefined> {
    return this.#table.get<FlowRow>(RUNS, id);
  }

  /** Writes a new run down; the one that has this id already, if there is one. */
  async begin(id: string, input: unknown): Promise<{ readonly row: FlowRow; readonly isNew: boolean }> {
    const row: FlowRow = {
      ...{ id, status: "running", input, round: 1 },
      started: new Date(this.#clock.now()).toISOString(),
    };
    try {
      await this.#table.put(RUNS, id, row, { ifVersion: "absent" });
      return { row, isNew: true };
    } catch (error) {
      if (!(error instanceof MillraceError && error.kind === "conflict")) throw error;
      const known = await this.get(id);
      return known ? { row: known.value, isNew: false } : this.begin(id, input);
    }
  }

  /** Has lists show the run, and the keeper find it: again where whoever began it was killed before. */
  async announce({ id, started }: FlowRow): Promise<void> {
    await this.#table.put(TIMES, timeKey(started, id), null);
    await this.#table.put(LIVE, id, null);
  }

  /** @param next nothing: it stays as it is */
  async change(id: string, next: (row: FlowRow) => FlowRow | undefined): Promise<FlowRow | undefined> {
    for (;;) {
      const found = await this.get(id);
      const row = found && next(found.value);
      if (!row) return found?.value;
      const expires = isOver(row.status) ? { expires: this.#clock.now() + KEPT } : {};
      try {
        await this.#table.put(RUNS, id, row, { ifVersion: found.version, ...expires });
      } catch (error) {
        if (error instanceof MillraceError && error.kind === "conflict") continue;
        throw error;
      }
      if (isOver(row.status)) await this.#table.remove(LIVE, id);
      return row;
    }
  }

  /** Ids of runs that are not over. */
  async live(): Promise<readonly string[]> {
    const ids: string[] = [];
    let after: string | undefined;
    do {
      const page = await this.#table.query(LIVE, after === undefined ? {} : { after });
      ids.push(...page.rows.map(({ sort }) => sort));
      after = page.next;
    } while (after !== undefined);
    return ids;
  }

  /** Ids of runs, the newest first. @param before runs that started earlier, ISO 8601 */
  async times(
    cursor: string | undefined,
    before: string | undefined,
    limit: number,
  ): Promise<{ readonly keys: readonly string[]; readonly next?: string }> {
    const first = before === undefined ? "" : timeKey(new Date(Date.parse(before) - 1).toISOString(), "");
    const after = [cursor ?? "", first].sort().at(-1)!;
    const { rows, next } = await this.#table.query(TIMES, { limit, ...(after !== "" && { after }) });
    return { keys: rows.map(({ sort }) => sort), ...(next !== undefined && { next }) };
  }

  /** How steps went, as far as anybody has written it down. */
  async steps(id: string): Promise<readonly StepRecord[]> {
    const row = await this.#table.get<string>(id, STEPS);
    if (!row) return [];
    return JSON.parse(gunzipSync(Buffer.from(row.value, "base64")).toString()) as readonly StepRecord[];
  }

  /** Of what is too much for one row only the steps outside of maps and repeats are kept: those count what is inside. */
  async keepSteps(id: string, steps: readonly StepRecord[]): Promise<void> {
    const whole = packed(steps);
    const text = whole.length <= MOST_STEPS ? whole : packed(steps.filter(({ path }) => !path.includes("[")));
    await this.#table.put(id, STEPS, text, { expires: this.#clock.now() + KEPT });
  }

  /** What a step came to that is not to be done again. @param key its path, and the attempts of the steps around it */
  async done(id: string, key: string): Promise<StepAnswer | undefined> {
    return (await this.#table.get<StepAnswer>(id, `done/${key}`))?.value;
  }

  async keepDone(id: string, key: string, answer: StepAnswer): Promise<void> {
    await this.#table.put(id, `done/${key}`, answer, { expires: this.#clock.now() + KEPT });
  }

  /** How often what the step waits for has come to an end. */
  async turns(id: string, path: string): Promise<number> {
    return (await this.#table.get<number>(id, `turns/${path}`))?.value ?? 0;
  }

  async keepTurns(id: string, path: string, turns: number): Promise<void> {
    await this.#table.put(id, `turns/${path}`, turns, { expires: this.#clock.now() + KEPT });
  }

  /** The answer to a callback, as soon as there is one. @param name of the callback, within its run */
  async answer(id: string, name: string): Promise<StepAnswer | undefined> {
    return (await this.#table.get<StepAnswer>(id, `answer/${name}`))?.value;
  }

  /** The first answer counts. */
  async keepAnswer(id: string, name: string, answer: StepAnswer): Promise<void> {
    const options = { ifVersion: "absent", expires: this.#clock.now() + KEPT };
    await this.#table.put(id, `answer/${name}`, answer, options).catch((error: unknown) => {
      if (!(error instanceof MillraceError && error.kind === "conflict")) throw error;
    });
  }
}

/** The rows of a linked workflow. */
export const rowsOf = (address: LinkAddress, world: KubernetesWorld): FlowRows =>
  new FlowRows(field(address, "table"), world);

/** The id in a key of {@link FlowRows.times}, and when it started, milliseconds since 1970. */
export function idAndTime(key: string): { readonly id: string; readonly time: number } {
  const slash = key.indexOf("/");
  return { id: key.slice(slash + 1), time: LAST_TIME - Number(key.slice(0, slash)) };
}

/** Larger than any time there will be, with as many digits as what is left of it. */
const LAST_TIME = 99_999_999_999_999;

const timeKey = (started: string, id: string): string =>
  `${String(LAST_TIME - Date.parse(started)).padStart(14, "0")}/${id}`;

const packed = (steps: readonly StepRecord[]): string => gzipSync(JSON.stringify(steps)).toString("base64");

const PREVIEW = 1024;

/** A row as everybody sees it. */
export function runOf(workflow: string, row: FlowRow): WorkflowRun {
  const { id, status, started, ended, error, input, output } = row;
  return {
    ...{ workflow, id, status, started },
    ...(ended !== undefined && { ended }),
    ...(error && { error }),
    inputPreview: JSON.stringify(input ?? null).slice(0, PREVIEW),
    ...(status === "succeeded" && { outputPreview: JSON.stringify(output ?? null).slice(0, PREVIEW) }),
  };
}
