import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, onTestFinished } from "vitest";
import { seededRandom } from "../../../lib/clouds/local/host/faults.ts";
import type { GroupLag } from "../../../lib/runtime/streams.ts";
import { type DevProcess, startDevProcess } from "../../local/dev-process.ts";
import { processesOf } from "../../local/scene.ts";
import { pythonPackage } from "../install/python-package.ts";
import { KafkaWorld } from "../kafka-world.ts";

const PROGRAM = fileURLToPath(new URL("../../local/programs/etl-copy-stack.ts", import.meta.url));
const RECORDS = fileURLToPath(new URL("./records.py", import.meta.url));
const [SOURCE, SINK, DEAD] = ["things-source", "things-sink", "things-dead"] as const;
const CONSUMER = "copied-consume";
/** Records that are done in a millisecond, as a rule. */
const USUAL = 20;
const LEDGER = `${CONSUMER}-done`;

/** What befalls a trial while it works, each at another place of the way. */
export interface Troubles {
  /** Processes of functions that are killed with -9. */
  readonly functions: number;
  /** Members of the group with all their functions, killed with -9 and started again. */
  readonly members: number;
  /** Restarts of the broker. */
  readonly brokers: number;
  /** Members that leave as they should, and come back. */
  readonly rebalances: number;
  /** How often all stop, and the group's place is set back by that many records of each partition: they come again. */
  readonly rewinds: number;
  readonly rewound: number;
}

export interface TrialOptions {
  readonly records: number;
  readonly troubles: Troubles;
  /** Milliseconds until all is done. */
  readonly longest: number;
}

export interface Report {
  readonly records: number;
  readonly sink: number;
  readonly [what: string]: number;
}

/** A pipeline between topics of a real broker, worked on by two members of a group: two local clouds. */
export class Trial {
  readonly kafka: KafkaWorld;
  readonly #python: string;
  readonly #members: Member[];
  readonly #random: () => number;

  private constructor(kafka: KafkaWorld, python: string, seed: number) {
    this.kafka = kafka;
    this.#python = python;
    this.#members = [0, 1].map(() => new Member(kafka.server.broker));
    this.#random = seededRandom(seed);
  }

  static async start(seed: number): Promise<Trial> {
    const python = join(await pythonPackage("confluent-kafka==2.12.0"), "python");
    const kafka = await KafkaWorld.start();
    onTestFinished(() => kafka.stop());
    const trial = new Trial(kafka, python, seed);
    // The first one makes the topics.
    await trial.#members[0]!.start();
    return trial;
  }

  /** Sends records, a part of them before each trouble, until all are worked off; answers how many came again. */
  async run({ records, longest, troubles }: TrialOptions): Promise<number> {
    await this.#members[1]!.start();
    const until = Date.now() + longest;
    const order = shuffled(namesOf(troubles), this.#random);
    const part = Math.ceil(records / order.length);
    let again = 0;
    for (const [index, trouble] of order.entries()) {
      const [first, end] = [index * part, Math.min(records, (index + 1) * part)];
      const filled = this.#records("fill", SOURCE, `${first}`, `${end}`);
      await pause(500 + this.#random() * (part / USUAL));
      const begun = performance.now();
      again += await this.#do(trouble, troubles);
      expect(await filled).toEqual({ failed: [] });
      const seconds = ((performance.now() - begun) / 1000).toFixed(1);
      console.log(`${index + 1}/${order.length} ${trouble}, ${seconds} s: ${await this.#done()} of ${end} are done`);
    }
    await expect.poll(() => this.#done(), { timeout: until - Date.now(), interval: 500 }).toBe(records);
    await expect.poll(() => this.#lag(), { timeout: until - Date.now(), interval: 500 }).toBe(0);
    for (const { dev } of this.#members) {
      expect((await dev.client.queues.stats("copied-failures")).ready).toBe(0);
    }
    for (const member of this.#members) await member.end("SIGINT");
    return again;
  }

  /** What a consumer that is not ours finds in the topics. */
  async check(): Promise<Report> {
    return (await this.#records("check", SOURCE, SINK, DEAD)) as unknown as Report;
  }

  /** Records whose place is committed with what came of them. */
  async #done(): Promise<number> {
    const ledger = await this.#group(LEDGER);
    return ledger?.partitions.reduce((sum, { next }) => sum + next, 0) ?? 0;
  }

  async #lag(): Promise<number | undefined> {
    return (await this.#group(CONSUMER))?.lag;
  }

  async #group(name: string): Promise<GroupLag | undefined> {
    return (await this.kafka.client(SOURCE).lag(SOURCE)).find(({ group }) => group === name);
  }

  async #do(trouble: keyof Troubles, { rewound }: Troubles): Promise<number> {
    const member = this.#members[Math.floor(this.#random() * 2)]!;
    switch (trouble) {
      case "functions":
        await expect.poll(() => this.#killFunction(), { timeout: 60_000, interval: 20 }).toBe(true);
        return 0;
      case "members":
      case "rebalances":
        await member.end(trouble === "members" ? "SIGKILL" : "SIGINT");
        await member.start();
        return 0;
      case "brokers":
        await this.kafka.server.restart();
        return 0;
      default:
        for (const one of this.#members) await one.end("SIGINT");
        return this.#rewind(rewound);
    }
  }

  /** Whether there was one: a member has none while the others have all partitions. */
  #killFunction(): boolean {
    const functions = this.#members.flatMap((member) => member.functions());
    const chosen = functions[Math.floor(this.#random() * functions.length)];
    return chosen !== undefined && process.kill(chosen, "SIGKILL");
  }

  async #rewind(records: number): Promise<number> {
    const { rewound } = await this.#records("rewind", SOURCE, CONSUMER, `${records}`);
    await Promise.all(this.#members.map((member) => member.start()));
    return rewound as number;
  }

  async #records(command: string, ...args: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
    const { stdout } = await promisify(execFile)(this.#python, [RECORDS, command, this.kafka.server.broker, ...args]);
    return JSON.parse(stdout) as Readonly<Record<string, unknown>>;
  }
}

/** A local cloud that is killed and started again. */
class Member {
  readonly #broker: string;
  readonly #home = mkdtempSync(join(tmpdir(), "millrace-etl-member-"));
  #dev: DevProcess | undefined;

  constructor(broker: string) {
    this.#broker = broker;
    onTestFinished(() => {
      this.#dev?.child.kill("SIGKILL");
      rmSync(this.#home, { recursive: true, force: true });
    });
  }

  get dev(): DevProcess {
    return this.#dev!;
  }

  async start(): Promise<void> {
    this.#dev = startDevProcess({ folder: this.#folder, env: {} }, { program: PROGRAM, kafka: this.#broker });
    await this.#dev.ready;
  }

  /** Resolves when nothing of it runs any more. */
  async end(signal: "SIGKILL" | "SIGINT"): Promise<void> {
    const { code, said } = await this.dev.end(signal);
    if (signal === "SIGINT") expect(code, said).toBe(0);
    await expect.poll(() => processesOf(this.#folder), { timeout: 30_000 }).toEqual([]);
  }

  /** The ids of its functions' processes. */
  functions(): readonly number[] {
    return childrenOf(this.dev.child.pid!).filter(isNode);
  }

  get #folder(): string {
    return join(this.#home, "cloud");
  }
}

/** https://man7.org/linux/man-pages/man5/proc_pid_task.5.html */
const childrenOf = (pid: number): readonly number[] =>
  readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" ").filter(Boolean).map(Number),
  );

/** The bundler has a process, too. */
const isNode = (pid: number): boolean => readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith(process.execPath);

function namesOf({ rewound: _, ...troubles }: Troubles): readonly (keyof Troubles)[] {
  return Object.entries(troubles).flatMap(([name, times]) => Array<keyof Troubles>(times).fill(name as keyof Troubles));
}

function shuffled<Item>(items: readonly Item[], random: () => number): readonly Item[] {
  return items
    .map((item) => ({ item, at: random() }))
    .sort((one, other) => one.at - other.at)
    .map(({ item }) => item);
}
