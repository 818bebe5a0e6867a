import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { connectKubernetes, type KubernetesTasks } from "../../lib/clouds/kubernetes/client.ts";
import { keeperRules } from "../../lib/clouds/kubernetes/deploy/rbac.ts";
import type { ApiRequest, KubernetesApi } from "../../lib/clouds/kubernetes/runtime/api.ts";
import { attemptOf, Jobs } from "../../lib/clouds/kubernetes/runtime/jobs.ts";
import { jobName } from "../../lib/clouds/kubernetes/runtime/labels.ts";
import { publish } from "../../lib/clouds/kubernetes/runtime/nats.ts";
import { MillraceError } from "../../lib/runtime/errors.ts";
import type { TaskDefinition } from "../../lib/runtime/tasks/definition.ts";
import { isFinal, type Task, type TaskLogLine } from "../../lib/runtime/tasks/task.ts";
import type { Work } from "../ports/work.ts";
import { Cluster, type Stack, type StackOptions } from "./kubernetes/cluster.ts";
import { KeeperProcess } from "./kubernetes/keeper-process.ts";
import { KillableNats } from "./kubernetes/killable-nats.ts";
import type { StoredJob } from "./kubernetes/node.ts";
import { quickClock } from "./kubernetes/quick-clock.ts";
import { freePorts } from "./servers/server.ts";

const SPEED = 10;
const TASK = "crops-work";

let nats: KillableNats;
let cluster: Cluster;
beforeAll(async () => {
  nats = await KillableNats.start();
  cluster = await Cluster.start(nats.url, fileURLToPath(new URL("../ports/work.ts", import.meta.url)));
});
afterAll(async () => {
  await cluster?.stop();
  await nats?.stop();
});

const endings: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

/** A task with one attempt: whatever uses one up ends its run. */
const ONCE: TaskDefinition = {
  name: TASK,
  timeout: 600,
  grace: 10,
  attempts: 1,
  backoff: { first: 0.05, factor: 1, longest: 0.05 },
  retention: 86_400,
  onSuccess: [{ kind: "queue", name: "successes" }],
  onFailure: [{ kind: "queue", name: "failures" }],
};

/** A stack with one task, its keeper, and a client. */
async function deployed(definition: Partial<TaskDefinition> = {}, options: StackOptions = {}) {
  const pace = { begin: Date.now(), speed: SPEED };
  const stack = await cluster.stack([{ ...ONCE, ...definition }], pace, options);
  endings.push(() => stack.close());
  const { keeper, startKeeper } = await keepersOf(stack);
  const client = connectKubernetes({
    addresses: stack.addresses,
    nats: { servers: nats.url },
    store: { credentials: cluster.s3.credentials },
    clock: quickClock(pace.begin, pace.speed),
  });
  endings.push(() => client.close());
  const submit = (id: string, payload: Work) => client.submit(TASK, payload, { id });
  return { stack, keeper, startKeeper, client, submit };
}

async function keepersOf(stack: Stack) {
  const startKeeper = async (variables: Readonly<Record<string, string>> = {}) => {
    const keeper = await KeeperProcess.start(stack, TASK, variables);
    endings.push(() => keeper.end("SIGKILL"));
    return keeper;
  };
  return { keeper: await startKeeper(), startKeeper };
}

/** What the question answers, once it answers something: on a busy machine everything takes its time. */
async function eventually<Answer>(question: () => Answer | undefined | Promise<Answer | undefined>): Promise<Answer> {
  for (let asked = 0; asked < 2400; asked += 1) {
    const answer = await question();
    if (answer !== undefined) return answer;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error("it did not come to that within 60 seconds");
}

/** The pod that works on the attempt, once it says that it waits. */
const waiting = (stack: Stack, attempt: string): Promise<string> =>
  eventually(() => {
    const run = stack.node.runs.find((one) => one.attempt === attempt && one.until === undefined);
    return run && stack.node.logs.get(run.pod)?.some(({ text }) => text.includes('"waiting"')) ? run.pod : undefined;
  });

const ended = (client: KubernetesTasks, id: string): Promise<Task> =>
  eventually(async () => {
    const run = await client.get(TASK, id);
    return run && isFinal(run.status) ? run : undefined;
  });

const jobsOf = async (stack: Stack) =>
  (await cluster.admin.ask<{ items: StoredJob[] }>({ verb: "list", path: stack.node.path.jobs })).items;

describe("what accounts may do", () => {
  const rulesOf = async (stack: Stack, account: "keeper" | "worker") => {
    const api = cluster.api(await stack.token(account));
    endings.push(async () => api.close());
    const { status } = await api.ask<{ status: { resourceRules: { apiGroups: string[]; verbs: string[] }[] } }>({
      verb: "create",
      path: "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
      body: {
        apiVersion: "authorization.k8s.io/v1",
        kind: "SelfSubjectRulesReview",
        spec: { namespace: stack.namespace },
      },
    });
    // Everybody may ask what they may do.
    const own = status.resourceRules.filter(
      ({ apiGroups }) =>
        !apiGroups.some((group) => /^(authorization|authentication|certificates)\.k8s\.io$/.test(group)),
    );
    return { api, own };
  };

  it("a keeper may do what its rules say, and nothing else", async () => {
    const { stack } = await deployed();
    const { api, own } = await rulesOf(stack, "keeper");
    expect(own).toHaveLength(3);
    expect(own).toEqual(expect.arrayContaining(keeperRules(`${TASK}-work`)));
    const core = `/api/v1/namespaces/${stack.namespace}`;
    const batch = `/apis/batch/v1/namespaces/${stack.namespace}`;
    const refused: ApiRequest[] = [
      { verb: "list", path: `${core}/secrets` },
      { verb: "get", path: `${core}/secrets/any` },
      { verb: "create", path: `${core}/pods`, body: { apiVersion: "v1", kind: "Pod", metadata: { name: "x" } } },
      { verb: "delete", path: `${core}/pods/any` },
      { verb: "get", path: `${core}/pods/any/log` },
      { verb: "get", path: `${batch}/cronjobs/another` },
      { verb: "list", path: `${batch}/cronjobs` },
      { verb: "update", path: `${batch}/jobs/any`, body: {} },
      { verb: "list", path: "/apis/batch/v1/namespaces/default/jobs" },
    ];
    for (const question of refused)
      await expect(api.ask(question), question.path).rejects.toMatchObject({
        kind: "refused",
        message: expect.stringContaining(`Kubernetes, ${question.verb} ${question.path}: 403`) as string,
      });
    await api.ask({ verb: "list", path: `${core}/pods` });
    await api.ask({ verb: "get", path: `${batch}/cronjobs/${TASK}-work` });
  });

  it("a worker may do nothing", async () => {
    const { stack } = await deployed();
    const { api, own } = await rulesOf(stack, "worker");
    expect(own).toEqual([]);
    await expect(api.ask({ verb: "list", path: stack.node.path.jobs })).rejects.toMatchObject({ kind: "refused" });
    const pod = cluster.admin.ask<{ items: { spec: { automountServiceAccountToken?: boolean } }[] }>({
      verb: "list",
      path: stack.node.path.pods,
    });
    expect((await pod).items).toEqual([]);
  });
});

describe("an attempt on Kubernetes", () => {
  it("is a Job that is named and labelled by it, and goes with the stack", async () => {
    const { stack, client } = await deployed();
    const id = "Photos/Käse 🧀.jpg";
    await client.submit(TASK, { do: "succeed" }, { id, tenant: "Grün & Co" });
    await ended(client, id);
    const [job] = await jobsOf(stack);
    expect(job!.metadata).toMatchObject({
      name: jobName({ task: TASK, id, attempt: 1 }),
      labels: { "millrace/task": TASK, "millrace/attempt": "1", "millrace/tenant": expect.stringMatching(/^[\w.-]+$/) },
      annotations: { "millrace/attempt": JSON.stringify({ task: TASK, id, attempt: 1 }) },
      ownerReferences: [{ kind: "CronJob", name: `${TASK}-work`, controller: false }],
    });
  });

  it("gets its payload as it is, whatever Kubernetes would make of it", async () => {
    const { client, submit } = await deployed();
    const texts = ["$(PATH) $$(PATH) $$ $PATH", "$".repeat(100_000), "中".repeat(39_000)];
    for (const [index, result] of texts.entries()) {
      await submit(`text-${index}`, { do: "succeed", result });
      expect((await ended(client, `text-${index}`)).status).toBe("succeeded");
      expect((await client.audit(TASK, `text-${index}`))?.result).toBe(result);
    }
  });

  it("is handed back when the cluster ends its pod, and uses up none", async () => {
    const { stack, client, submit } = await deployed();
    await submit("a", { do: "wait" });
    await stack.node.evict(await waiting(stack, "a--a1"));
    await waiting(stack, "a--a2");
    expect((await client.get(TASK, "a"))?.attempts).toMatchObject([{ error: { kind: "interrupted" } }, { number: 2 }]);
    await client.stop(TASK, "a");
    expect((await ended(client, "a")).status).toBe("stopped");
    await eventually(() => stack.node.running.length === 0 || undefined);
  });

  it("that does not listen is killed when its grace is over, and only then done again", async () => {
    const { stack, client, submit } = await deployed();
    await submit("a", { do: "wait", stubborn: true });
    await stack.node.evict(await waiting(stack, "a--a1"));
    const second = await waiting(stack, "a--a2");
    const [first, next] = stack.node.runs;
    expect(first!.until).toBeLessThanOrEqual(next!.from);
    expect((await client.get(TASK, "a"))?.attempts[0]).toMatchObject({
      error: { kind: "interrupted", message: expect.stringContaining("the cluster ended its pod") as string },
    });
    stack.node.kill(second, "SIGKILL");
    expect(await ended(client, "a")).toMatchObject({
      status: "failed",
      error: { kind: "failed", message: expect.stringContaining("exit code 137") as string },
    });
  });

  it("ends when its Job's time is over, and when somebody deletes its Job", async () => {
    const { stack, client, submit } = await deployed({}, { activeDeadlineSeconds: 4 });
    await submit("late", { do: "wait", stubborn: true });
    expect(await ended(client, "late")).toMatchObject({ status: "failed", error: { kind: "timed-out" } });
    await submit("deleted", { do: "wait", stubborn: true });
    await waiting(stack, "deleted--a1");
    const path = `${stack.node.path.jobs}/${jobName({ task: TASK, id: "deleted", attempt: 1 })}`;
    await cluster.admin.ask({ verb: "delete", path, body: { propagationPolicy: "Background" } });
    const pod = await waiting(stack, "deleted--a2");
    await cluster.admin.ask({ verb: "delete", path: `${stack.node.path.pods}/${pod}`, body: {} });
    await waiting(stack, "deleted--a3");
    expect((await client.get(TASK, "deleted"))?.attempts).toMatchObject([
      { error: { kind: "interrupted", message: "its Job was deleted" } },
      { error: { kind: "interrupted", message: expect.stringContaining("its pod was deleted") as string } },
      {},
    ]);
  });

  it("waits for Kueue, where the template names a queue", async () => {
    const { stack, client, submit } = await deployed({}, { labels: { "kueue.x-k8s.io/queue-name": "team" } });
    await submit("a", { do: "succeed" });
    const job = await eventually(async () => (await jobsOf(stack))[0]);
    expect(job).toMatchObject({
      spec: { suspend: true },
      metadata: { labels: { "kueue.x-k8s.io/queue-name": "team" } },
    });
    expect(stack.node.runs).toEqual([]);
    const path = `${stack.node.path.jobs}/${job.metadata.name}`;
    const body = {
      ...(await cluster.admin.ask<StoredJob>({ verb: "get", path })),
      spec: { ...job.spec, suspend: false },
    };
    await cluster.admin.ask({ verb: "update", path, body });
    expect((await ended(client, "a")).status).toBe("succeeded");
  });

  it("is not started once more by a message that comes late, or twice", async () => {
    const { stack, client, submit } = await deployed();
    await submit("a", { do: "succeed", result: 1 });
    await ended(client, "a");
    const [job] = await jobsOf(stack);
    await cluster.admin.ask({ verb: "delete", path: `${stack.node.path.jobs}/${job!.metadata.name}`, body: {} });
    const attempt = {
      millrace: "attempt",
      task: TASK,
      id: "a",
      attempt: 1,
      attemptId: "a--a1",
      deadline: 0,
      payload: { value: 1 },
    };
    const body = JSON.stringify({ millrace: "start", attempt });
    const subject = stack.addresses[TASK]!.keeper!;
    for (let time = 1; time <= 3; time++) await publish(await cluster.shared.nats(), "again", { subject, body });
    await publish(await cluster.shared.nats(), "nonsense", { subject, body: "{" });
    await submit("b", { do: "succeed" });
    await ended(client, "b");
    expect(stack.node.runs.map((run) => run.attempt)).toEqual(["a--a1", "b--a1"]);
  });
});

describe("what is heard of Jobs", () => {
  const following = async (stack: Stack, api: Pick<KubernetesApi, "ask" | "watch">) => {
    const over = new AbortController();
    const jobs = new Jobs(api as KubernetesApi, stack.namespace, TASK, `${TASK}-work`);
    const heard: string[] = [];
    const following = (async () => {
      for await (const news of jobs.follow(over.signal))
        heard.push(news.type === "all" ? `all: ${news.jobs.length}` : `${news.type} ${attemptOf(news.job)?.id}`);
    })();
    endings.push(() => {
      over.abort();
      return following.catch(() => {});
    });
    return { heard, following };
  };

  it("begins with all, goes on where a watch ended, and begins again where the server has forgotten that", async () => {
    const { stack, client, submit } = await deployed();
    const { admin } = cluster;
    const versions: string[] = [];
    // Each watch ends after a message, as after some minutes; the server forgets at the third and the fourth one.
    const { heard } = await following(stack, {
      ask: (question) => admin.ask(question),
      async *watch(question) {
        versions.push(question.query!.resourceVersion!);
        if (versions.length === 3) yield { type: "ERROR", object: { code: 410, message: "too old" } as never };
        else if (versions.length === 4) throw new MillraceError("expired", "too old");
        else for await (const event of admin.watch(question)) return yield event as never;
      },
    });
    await submit("a", { do: "succeed" });
    await ended(client, "a");
    await eventually(() => (heard.filter((news) => news.startsWith("all")).length === 3 ? true : undefined));
    const path = `${stack.node.path.jobs}/${jobName({ task: TASK, id: "a", attempt: 1 })}`;
    await admin.ask({ verb: "delete", path, body: { propagationPolicy: "Background" } });
    await eventually(() => (heard.includes("removed a") ? true : undefined));
    expect(heard.slice(0, 5)).toEqual(["all: 0", "changed a", "changed a", "all: 1", "all: 1"]);
    expect(new Set(versions.slice(0, 3)).size).toBe(3);
  });

  it("ends with what is wrong, if the server refuses", async () => {
    const { stack } = await deployed();
    const api = cluster.api(await stack.token("worker"));
    endings.push(async () => api.close());
    const { following: refused } = await following(stack, api);
    await expect(refused).rejects.toMatchObject({ kind: "refused", message: expect.stringContaining("403") as string });
  });
});

describe("the log of a run", () => {
  const messages = async (lines: AsyncIterable<TaskLogLine>) => {
    const all: TaskLogLine[] = [];
    for await (const line of lines) all.push(line);
    return all;
  };
  /** A client that may read logs, and nothing else of the cluster. */
  const reading = async (stack: Stack) => {
    const token = await stack.token("reader");
    const client = connectKubernetes({
      addresses: stack.addresses,
      nats: { servers: nats.url },
      api: { server: cluster.server.url, ca: cluster.ca, token: () => token },
      clock: quickClock(stack.pace.begin, stack.pace.speed),
    });
    endings.push(() => client.close());
    return client;
  };

  it("is read and read on from the run's pods, over all its attempts", async () => {
    const { stack, client, submit } = await deployed();
    const reader = await reading(stack);
    await submit("a", { do: "log", lines: 30 });
    await ended(client, "a");
    const lines = await messages(reader.logs(TASK, "a", { follow: true }));
    expect(lines.map(({ message }) => message)).toEqual(Array.from({ length: 30 }, (_, n) => `line ${n + 1}`));
    expect(lines[4]).toMatchObject({ attempt: 1, level: "info", fields: { line: 5 } });
    expect(await messages(reader.logs(TASK, "a", { after: lines[27]!.sequence }))).toEqual(lines.slice(28));

    await submit("c", { do: "wait" });
    const pod = await waiting(stack, "c--a1");
    stack.node.kill(pod, "SIGKILL");
    await ended(client, "c");
    await client.retry(TASK, "c");
    await waiting(stack, "c--a2");
    const both = await messages(reader.logs(TASK, "c"));
    expect(both.map(({ attempt, message }) => [attempt, message])).toEqual([
      [1, "waiting"],
      [2, "waiting"],
    ]);
  });

  it("is followed while its pod runs", async () => {
    const { stack, client, submit } = await deployed();
    const reader = await reading(stack);
    await submit("a", { do: "wait" });
    const followed = messages(reader.logs(TASK, "a", { follow: true }));
    await waiting(stack, "a--a1");
    await new Promise((resolve) => setTimeout(resolve, 1500));
    await client.stop(TASK, "a");
    expect((await followed).map(({ message }) => message)).toEqual(["waiting"]);
    await expect(messages(reader.logs(TASK, "nobody"))).rejects.toMatchObject({ kind: "not-found" });
  });

  it("is with whoever may ask the API server: others are told how", async () => {
    const { stack, client, submit } = await deployed();
    await submit("a", { do: "succeed" });
    await expect(messages(client.logs(TASK, "a"))).rejects.toMatchObject({
      kind: "refused",
      message: expect.stringMatching(
        new RegExp(
          `kubectl logs --namespace ${stack.namespace} --container main --tail -1 --selector millrace/task=${TASK},millrace/run=[a-z0-9]{20}$`,
        ),
      ) as string,
    });
  });
});

describe("a keeper", () => {
  it("says how it is, and ends cleanly at SIGTERM; another one goes on", async () => {
    const { stack, keeper, startKeeper, client, submit } = await deployed();
    await keeper.end("SIGTERM");
    const [port] = await freePorts(1);
    const second = await startKeeper({ MILLRACE_HEALTH_PORT: String(port) });
    const health = () =>
      fetch(`http://127.0.0.1:${port}/healthz`).then(
        ({ status }) => status,
        () => undefined,
      );
    expect(await eventually(health)).toBe(200);
    await submit("a", { do: "wait" });
    await waiting(stack, "a--a1");
    expect(await second.end("SIGTERM"), second.output).toBe(0);
    await submit("b", { do: "succeed" });
    await client.stop(TASK, "a");
    await startKeeper();
    expect((await ended(client, "a")).status).toBe("stopped");
    expect((await ended(client, "b")).status).toBe("succeeded");
  });

  it("and another one at once, workers and NATS: killed at random moments, nothing is lost and nothing done twice at once", async () => {
    // Where a keeper dies between claiming a run and telling of its start, the run waits for its lease: 16 s of the
    // test's time with this timeout.
    const definition = { attempts: 20, concurrency: 4, timeout: 120 };
    const { stack, keeper, startKeeper, client, submit } = await deployed(definition);
    const keepers = [keeper, await startKeeper()];
    const random = numbers(7);
    const ids = Array.from({ length: 16 }, (_, number) => `run-${number}`);
    for (const id of ids)
      await submit(id, { do: "succeed", result: id, milliseconds: 100 + Math.floor(random() * 500) });
    for (let round = 0; round < 8; round++) {
      await new Promise((resolve) => setTimeout(resolve, random() * 600));
      const worker = stack.node.running[Math.floor(random() * stack.node.running.length)];
      if (worker) stack.node.kill(worker, "SIGKILL");
      const index = round % 2;
      await keepers[index]!.end("SIGKILL");
      if (round % 4 === 1) {
        await nats.kill();
        await nats.start();
      }
      keepers[index] = await startKeeper();
    }
    for (const id of ids) expect(await endedAtLast(client, id), id).toMatchObject({ status: "succeeded" });
    for (const id of ids) {
      const runs = stack.node.runs.filter(({ attempt }) => attempt.startsWith(`${id}--a`));
      for (const [index, run] of runs.entries())
        if (index > 0)
          expect(run.from, `${run.attempt} began before the one before was over`).toBeGreaterThanOrEqual(
            runs[index - 1]!.until!,
          );
    }
    const told = (await stack.envelopes("successes")).map(({ task }) => task.id);
    expect(told.toSorted()).toEqual(ids.toSorted());
  });
});

/** While NATS is away, who asks is told so. */
const endedAtLast = (client: KubernetesTasks, id: string): Promise<Task> =>
  eventually(async () => {
    const run = await client.get(TASK, id).catch(() => undefined);
    return run && isFinal(run.status) ? run : undefined;
  });

/** The same numbers from 0 to 1 at every run. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
