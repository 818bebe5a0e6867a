import { tmpdir } from "node:os";
import { type Clock, systemClock } from "../../runtime/clock.ts";
import type { LinkAddress } from "../../runtime/deployment.ts";
import { MillraceError } from "../../runtime/errors.ts";
import type { Log } from "../../runtime/handler.ts";
import type { Task, TaskClient } from "../../runtime/tasks/task.ts";
import type { AlicloudWorld, Credentials } from "./runtime/account.ts";
import { type BriefTaskService, taskService } from "./runtime/task-service.ts";

export type { Credentials } from "./runtime/account.ts";

/** The tasks of a deployed stack. */
export interface AlicloudTarget {
  /** The addresses of its parts, by their names: `addresses` of the stack's output `millrace`. */
  readonly addresses: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Asked at every request, so that keys may change. */
  readonly credentials: () => Credentials;
  /** The region this program runs in, for internal endpoints. @default it runs elsewhere */
  readonly region?: string;
  /** For what goes on behind the answers. @default nobody reads it */
  readonly log?: Log;
  /** @default the machine's */
  readonly clock?: Clock;
}

/**
 * Submits tasks and looks after them on Alibaba Cloud, from a user's own program: nothing of Pulumi is loaded, and Node
 * 20 will do. Needs the package `tablestore`. Logs are in Log Service; `logs` says where.
 *
 * @example
 * // pulumi stack output --json > stack.json
 * import { readFileSync } from "node:fs";
 * const { addresses } = JSON.parse(readFileSync("stack.json", "utf8")).millrace;
 * const accessKeyId = process.env.ALIBABA_CLOUD_ACCESS_KEY_ID ?? "";
 * const accessKeySecret = process.env.ALIBABA_CLOUD_ACCESS_KEY_SECRET ?? "";
 * const tasks = connectAlicloud({ addresses, credentials: () => ({ accessKeyId, accessKeySecret }) });
 * await tasks.submit("resize-task", { image: "cat.png" }, { id: "cat" });
 */
export function connectAlicloud(target: AlicloudTarget): TaskClient {
  const tasks = new Tasks(target);
  const { settled, on } = tasks;
  return {
    submit: (task, payload, options) => settled(task, ({ service }) => service.submit(task, payload, options)),
    get: (task, id) => on(task, ({ service }) => service.get(task, id)),
    list: (task, filter) => on(task, ({ service }) => service.list(task, filter)),
    stop: (task, id, options) => settled(task, ({ service }) => service.stop(task, id, options)),
    retry: (task, id, options) => settled(task, ({ service }) => service.retry(task, id, options)),
    async *logs(task, id, options) {
      const { service } = await tasks.of(task);
      yield* service.logs(task, id, options);
    },
    audit: (task, id) => on(task, ({ service }) => service.audit(task, id)),
    wait: (task, id, options) => on(task, ({ service }) => service.wait(task, id, options)),
  };
}

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** One service for each task, made when it is first asked for. */
class Tasks {
  readonly #target: AlicloudTarget;
  readonly #services = new Map<string, Promise<BriefTaskService>>();

  constructor(target: AlicloudTarget) {
    this.#target = target;
  }

  of(task: string): Promise<BriefTaskService> {
    const { addresses, credentials, region, log = silent, clock = systemClock } = this.#target;
    const found = this.#services.get(task);
    if (found) return found;
    const address = addresses[task];
    if (address?.definition === undefined) {
      const known = Object.keys(addresses).filter((name) => addresses[name]?.definition !== undefined);
      const text = known.map((name) => `"${name}"`).join(", ");
      return Promise.reject(new MillraceError("not-found", `there is no task "${task}"; there are: ${text || "none"}`));
    }
    const { signal } = new AbortController();
    const world: AlicloudWorld = { signal, clock, log, files: tmpdir(), credentials, ...(region && { region }) };
    const link = { ...address, kind: "task", part: task } as LinkAddress;
    const service = taskService(link, world);
    this.#services.set(task, service);
    return service;
  }

  on = async <Answer>(task: string, ask: (tasks: BriefTaskService) => Promise<Answer>): Promise<Answer> =>
    ask(await this.of(task));

  /** What an answer sets going is done before it is given: the program may end with it. */
  settled = async (task: string, ask: (tasks: BriefTaskService) => Promise<Task>): Promise<Task> => {
    const tasks = await this.of(task);
    const run = await ask(tasks);
    await tasks.settle(run);
    return run;
  };
}
