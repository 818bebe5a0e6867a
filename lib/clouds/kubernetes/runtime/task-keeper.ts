import { type Consumer, type ConsumerMessages, type JsMsg, jetstream } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { type Clock, sleep } from "../../../runtime/clock.ts";
import { MillraceError, toErrorRecord } from "../../../runtime/errors.ts";
import type { Log } from "../../../runtime/handler.ts";
import type { AttemptCall } from "../../../runtime/tasks/attempt.ts";
import { type AttemptRef, attemptId } from "../../../runtime/tasks/ids.ts";
import type { TaskService } from "../../../runtime/tasks/service.ts";
import { isUnderWay } from "../../../runtime/tasks/worker.ts";
import { REPLY } from "./function.ts";
import { attemptOf, isOver, type JobNews, type Jobs } from "./jobs.ts";
import type { KeeperMessage } from "./keeper-message.ts";
import { jobName } from "./labels.ts";

/** What a keeper works with. */
export interface TaskKeeperWorld {
  /** Its platform is `jobs`. */
  readonly service: Pick<TaskService, "get" | "finished" | "next" | "run" | "settled" | "close">;
  readonly jobs: Jobs;
  readonly nats: () => Promise<NatsConnection>;
  /** Where its messages come from. */
  readonly stream: string;
  readonly consumer: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** It looks at its task that often, in milliseconds, whatever it is told: who submits relies on a minute. */
const ROUND = 60_000;

/** Milliseconds until what failed, or was not over yet, is looked at again. */
const AGAIN = 2000;

/** Messages obeyed at once. */
const HANDS = 8;

/**
 * Looks after one task, always: makes and deletes its Jobs as it is told, finds out what became of those whose worker
 * did not report its end, and does what is due. Several at once do no harm, as while one takes over from another: a Job
 * has its attempt's name, an end that is reported twice counts once, and messages go to one of them.
 */
export class TaskKeeper {
  readonly #world: TaskKeeperWorld;
  /** The attempts whose Jobs are there, by the Jobs' names. */
  readonly #known = new Map<string, AttemptRef>();
  /** Attempts whose Jobs are over or gone, until it is certain that their end is stored; by the Jobs' names. */
  readonly #ended = new Map<string, AttemptRef>();
  /** Of the Jobs that are still there, those that were seen to be over. */
  readonly #seen = new Set<string>();
  #poked = new AbortController();
  #turned: number;

  constructor(world: TaskKeeperWorld) {
    this.#world = world;
    this.#turned = world.clock.now();
  }

  /** Until the signal aborts, and what is under way then has come to its end. */
  async run(signal: AbortSignal): Promise<void> {
    signal.addEventListener("abort", () => this.#poke(), { once: true });
    await Promise.all([this.#turn(signal), this.#listen(signal), this.#follow(signal), this.#conclude(signal)]);
    await this.#world.service.close();
  }

  /** Whether it still comes round. */
  get isAlive(): boolean {
    return this.#world.clock.now() - this.#turned < 5 * ROUND;
  }

  /** Does what is due, and waits for what comes next. */
  async #turn(signal: AbortSignal): Promise<void> {
    const { service, clock } = this.#world;
    while (!signal.aborted) {
      this.#poked = new AbortController();
      service.run(clock.now());
      await service.settled();
      this.#turned = clock.now();
      const wait = Math.min((service.next() ?? 0) - clock.now(), ROUND);
      if (!signal.aborted && wait > 0) await sleep(clock, wait, this.#poked.signal).catch(() => {});
    }
  }

  /** Has it look at once whether something is due. */
  #poke(): void {
    this.#poked.abort();
  }

  /** Obeys its messages, for as long as there is a consumer, and again when there is one again. */
  async #listen(signal: AbortSignal): Promise<void> {
    const { nats, stream, consumer } = this.#world;
    await this.#repeatedly(signal, "its messages", async () => {
      const found: Consumer = await jetstream(await nats()).consumers.get(stream, consumer);
      const messages: ConsumerMessages = await found.consume({ max_messages: 4 * HANDS });
      const stop = () => messages.stop();
      signal.addEventListener("abort", stop, { once: true });
      const busy = new Set<Promise<void>>();
      try {
        for await (const message of messages) {
          // One that is not acknowledged comes again, to whoever is there then.
          if (signal.aborted) break;
          const work = this.#handle(message).finally(() => busy.delete(work));
          busy.add(work);
          if (busy.size >= HANDS) await Promise.race(busy);
        }
      } finally {
        signal.removeEventListener("abort", stop);
        await Promise.all(busy);
      }
    });
  }

  async #handle(message: JsMsg): Promise<void> {
    const { log } = this.#world;
    try {
      await this.#obey(message.json<KeeperMessage>(), message.headers?.get(REPLY));
      message.ack();
    } catch (error) {
      const { message: text } = toErrorRecord(error);
      if (error instanceof SyntaxError) {
        log.error("a message is no JSON and is dropped", { error: text });
        return message.term();
      }
      log.warn("a message could not be obeyed and comes again", { error: text });
      message.nak(AGAIN);
    }
  }

  async #obey(message: KeeperMessage, reply: string | undefined): Promise<void> {
    const { jobs, nats } = this.#world;
    switch (message.millrace) {
      case "start":
        return this.#start(message.attempt);
      case "stop":
        return jobs.stop(message.attempt, message.grace);
      case "inspect":
        if (reply) (await nats()).publish(reply, JSON.stringify(await jobs.inspect(message.attempt)));
        return;
      case "wake":
        return this.#poke();
    }
  }

  /** A message may come twice, or late: an attempt that the run does not wait for any more must not run. */
  async #start(call: AttemptCall): Promise<void> {
    const { service, jobs, log } = this.#world;
    const run = await service.get(call.task, call.id);
    if (!isUnderWay(run, call)) {
      return log.info(`${call.task} "${attemptId(call)}": is not started, the run has gone on without it`);
    }
    if (run?.status === "stopping") {
      return this.#report(call, { error: { kind: "stopped", message: "stopped before its Job was made" } });
    }
    try {
      await jobs.create(call);
    } catch (error) {
      if (error instanceof MillraceError && error.kind === "unavailable") throw error;
      const { kind, message } = toErrorRecord(error);
      await this.#report(call, { error: { kind, message: `could not start: ${message}` } });
    }
  }

  /** Hears of every Job, and keeps in mind which are over and which are gone. */
  async #follow(signal: AbortSignal): Promise<void> {
    await this.#repeatedly(signal, "its Jobs", async () => {
      for await (const news of this.#world.jobs.follow(signal)) this.#hear(news);
    });
  }

  #hear(news: JobNews): void {
    if (news.type === "all") {
      const names = new Set(news.jobs.map(({ metadata }) => metadata.name));
      for (const name of this.#known.keys()) if (!names.has(name)) this.#lose(name);
    }
    for (const job of news.type === "all" ? news.jobs : [news.job]) {
      const { name } = job.metadata;
      const attempt = attemptOf(job);
      if (!attempt) continue;
      if (news.type === "removed") {
        this.#lose(name);
        continue;
      }
      this.#known.set(name, attempt);
      if (!isOver(job) || this.#seen.has(name)) continue;
      this.#seen.add(name);
      this.#ended.set(name, attempt);
    }
  }

  #lose(name: string): void {
    const attempt = this.#known.get(name);
    if (attempt) this.#ended.set(name, attempt);
    this.#known.delete(name);
    this.#seen.delete(name);
  }

  /** Finds out how the attempts ended whose Jobs are over or gone. */
  async #conclude(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#world;
    while (!signal.aborted) {
      for (const [name, attempt] of this.#ended) {
        if (signal.aborted) return;
        try {
          if (await this.#isConcluded(attempt)) this.#ended.delete(name);
        } catch (error) {
          log.warn(`${jobName(attempt)}: what became of it is not known yet`, { error: toErrorRecord(error).message });
        }
      }
      await sleep(clock, AGAIN, signal).catch(() => {});
    }
  }

  /** Most workers have reported their end themselves. Where none has, it is over once no pod of it is left. */
  async #isConcluded(attempt: AttemptRef): Promise<boolean> {
    const { service, jobs } = this.#world;
    if (!isUnderWay(await service.get(attempt.task, attempt.id), attempt)) return true;
    const state = await jobs.inspect(attempt);
    if (state === "running") return false;
    const gone = { error: { kind: "interrupted", message: "its Job was deleted" } } as const;
    await this.#report(attempt, state === "gone" ? gone : state);
    return true;
  }

  async #report(...[attempt, outcome]: Parameters<TaskService["finished"]>): Promise<void> {
    await this.#world.service.finished(attempt, outcome);
    this.#poke();
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
