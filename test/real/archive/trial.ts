import { execFile, execFileSync } from "node:child_process";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, onTestFinished } from "vitest";
import { seededRandom } from "../../../lib/clouds/local/host/faults.ts";
import { millrace } from "../../cli/run.ts";
import { type DevProcess, startDevProcess } from "../../local/dev-process.ts";
import { processesOf } from "../../local/scene.ts";
import { pythonPackage } from "../install/python-package.ts";
import { type KafkaServer, startKafka } from "../servers/kafka.ts";

const PROGRAM = fileURLToPath(new URL("../../local/programs/log-archive-trial-stack.ts", import.meta.url));
const CHECKER = fileURLToPath(new URL("./lines.py", import.meta.url));
const LINES = "logs-lines";
/** Records that the script sends beside the lines: empty, large, binary. */
export const ODD = 7;
/** Milliseconds that a function is stopped: longer than a slot is held. */
const ASLEEP = 12_000;

/** What befalls a trial while it works. */
export interface Troubles {
  /** Functions' processes that are killed with -9. */
  readonly functions: number;
  /** The cloud with all its functions, killed with -9 and started again. */
  readonly clouds: number;
  /** Restarts of the broker. */
  readonly brokers: number;
  /** Functions' processes that are stopped until others have long gone on with what they had. */
  readonly pauses: number;
}

export interface TrialOptions {
  readonly lines: number;
  readonly applications: number;
  readonly troubles: Troubles;
  /** Milliseconds until all is archived, after the last trouble. */
  readonly longest: number;
}

/** What somebody else's tools find in topic and bucket. */
export interface Report {
  readonly lines: number;
  readonly applications: number;
  readonly files: number;
  readonly [fault: string]: number;
}

/** What a report has beside its counts if nothing is amiss. */
export const FAULTLESS = {
  ...{ missing: 0, twice: 0, damaged: 0, changed: 0, misplaced: 0, disorder: 0, oddBytes: 0 },
  // `millrace logs find`, while files grew.
  ...{ notFound: 0, foundTwice: 0 },
};

/** An archive on a local cloud in a process of its own, whose streams lie in a real Kafka. */
export class Trial {
  readonly #kafka: KafkaServer;
  readonly #python: string;
  readonly #random: () => number;
  readonly #home = mkdtempSync(join(tmpdir(), "millrace-archive-trial-"));
  #dev: DevProcess | undefined;

  private constructor(kafka: KafkaServer, python: string, seed: number) {
    this.#kafka = kafka;
    this.#python = python;
    this.#random = seededRandom(seed);
    onTestFinished(async () => {
      this.#dev?.child.kill("SIGKILL");
      await this.#dev?.ended;
      rmSync(this.#home, { recursive: true, force: true, maxRetries: 5 });
    });
  }

  static async start(seed: number): Promise<Trial> {
    const python = join(await pythonPackage("confluent-kafka==2.12.0"), "python");
    const kafka = await startKafka();
    onTestFinished(() => kafka.stop());
    const trial = new Trial(kafka, python, seed);
    await trial.#start();
    return trial;
  }

  /** Sends lines, a part of them before each trouble, until all are archived, and has them counted. */
  async run({ lines, applications, troubles, longest }: TrialOptions): Promise<Report> {
    const names = Object.entries(troubles).flatMap(([name, times]) =>
      Array<keyof Troubles>(times).fill(name as keyof Troubles),
    );
    const order = names.map((name) => ({ name, at: this.#random() })).sort((one, other) => one.at - other.at);
    const part = Math.ceil(lines / (order.length + 1));
    const fill = async (index: number) => {
      const [first, end] = [index * part, Math.min(lines, (index + 1) * part)];
      expect(await this.#python3("fill", `${first}`, `${end}`, `${applications}`)).toEqual({ failed: [] });
    };
    for (const [index, { name }] of order.entries()) {
      const filled = fill(index);
      // Nobody consumes for a while after some troubles, and then there is nothing to disturb.
      await expect.poll(() => this.#lag(), { timeout: longest, interval: 200 }).toBeLessThan(2 * part);
      await pause(500 + this.#random() * 1500);
      await this.#do(name);
      await filled;
      console.log(`${index + 1}/${order.length} ${name}, ${await this.#lag()} lines wait`);
    }
    await fill(order.length);
    const until = Date.now() + longest;
    await expect.poll(() => this.#lag(), { timeout: longest, interval: 200 }).toBe(0);
    await this.#find(applications);
    await expect.poll(() => this.#download(), { timeout: until - Date.now(), interval: 1000 }).toBe(lines + ODD);
    const { code, said } = await this.#dev!.end("SIGINT");
    expect(code, said).toBe(0);
    const files = readdirSync(this.#objects, { recursive: true, encoding: "utf8" }).filter((name) =>
      name.endsWith("gz"),
    );
    execFileSync("gunzip", ["-t", ...files], { cwd: this.#objects });
    return (await this.#python3("check", this.#objects, this.#found)) as unknown as Report;
  }

  async #start(): Promise<void> {
    this.#dev = startDevProcess({ folder: this.#folder, env: {} }, { program: PROGRAM, kafka: this.#kafka.broker });
    await this.#dev.ready;
  }

  get #folder(): string {
    return join(this.#home, "cloud");
  }

  get #objects(): string {
    return join(this.#home, "objects");
  }

  get #found(): string {
    return join(this.#home, "found.jsonl");
  }

  async #do(trouble: keyof Troubles): Promise<void> {
    switch (trouble) {
      case "functions":
        return void (await expect.poll(() => this.#signal("SIGKILL"), { timeout: 60_000, interval: 10 }).toBeDefined());
      case "pauses":
        return this.#pause();
      case "brokers":
        return this.#kafka.restart();
      case "clouds":
        await this.#dev!.end("SIGKILL");
        await expect.poll(() => processesOf(this.#folder), { timeout: 30_000 }).toEqual([]);
        return this.#start();
    }
  }

  async #pause(): Promise<void> {
    let stopped: number | undefined;
    const stop = () => {
      stopped = this.#signal("SIGSTOP");
      return stopped;
    };
    await expect.poll(stop, { timeout: 60_000, interval: 10 }).toBeDefined();
    await pause(ASLEEP);
    process.kill(stopped!, "SIGCONT");
  }

  /** To one of the functions' processes; undefined: there is none now. */
  #signal(signal: NodeJS.Signals): number | undefined {
    const functions = functionsOf(this.#dev!.child.pid!);
    const chosen = functions[Math.floor(this.#random() * functions.length)];
    if (chosen !== undefined) process.kill(chosen, signal);
    return chosen;
  }

  /** Lines that wait; while the broker is away nobody knows. */
  async #lag(): Promise<number | undefined> {
    const groups = await this.#dev!.client.streams.lag(LINES).catch(() => []);
    return groups.find(({ group }) => group === "logs-append")?.lag;
  }

  /** What `millrace logs find` has of some applications while files grow, be it in the bucket or still on the volume. */
  async #find(applications: number): Promise<void> {
    for (const app of ["unknown", "app-0", `app-${applications - 1}`]) {
      const words = ["logs", "find", "--app", app, "--json", "--folder", this.#folder];
      const { out, err, code } = await millrace(words, { cwd: this.#home });
      expect(code, err).toBe(0);
      appendFileSync(this.#found, out);
    }
  }

  /** How many lines are in the bucket, whose objects are here then. */
  async #download(): Promise<number> {
    const bucket = this.#dev!.client.buckets.bucket("logs-archive");
    let count = 0;
    for (let after: string | undefined; ; ) {
      const { objects, next } = await bucket.list(after === undefined ? {} : { after });
      for (const { key, metadata } of objects) {
        const path = join(this.#objects, key);
        if (!existsSync(path)) {
          mkdirSync(dirname(path), { recursive: true });
          writeFileSync(path, await bucket.get(key));
        }
        count += Number(metadata.records);
      }
      if (next === undefined) return count;
      after = next;
    }
  }

  async #python3(command: string, ...args: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
    const { stdout } = await promisify(execFile)(this.#python, [CHECKER, command, this.#kafka.broker, LINES, ...args]);
    return JSON.parse(stdout) as Readonly<Record<string, unknown>>;
  }
}

/** The ids of its functions' processes. https://man7.org/linux/man-pages/man5/proc_pid_task.5.html */
const functionsOf = (pid: number): readonly number[] =>
  readdirSync(`/proc/${pid}/task`)
    .flatMap((task) => readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" ").filter(Boolean))
    .map(Number)
    .filter((child) => readFileSync(`/proc/${child}/cmdline`, "utf8").includes("/bundles/"));
