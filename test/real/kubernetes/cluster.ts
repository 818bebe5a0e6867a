import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { connect } from "node:tls";
import { fileURLToPath } from "node:url";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { jetstreamManager } from "@nats-io/jetstream";
import { bundle } from "../../../lib/bundle/bundle.ts";
import { keeperRules, LOG_READER_RULES } from "../../../lib/clouds/kubernetes/deploy/rbac.ts";
import { type SharedNats, sharedNats } from "../../../lib/clouds/kubernetes/runtime/account.ts";
import { KubernetesApi } from "../../../lib/clouds/kubernetes/runtime/api.ts";
import { setUp } from "../../../lib/clouds/kubernetes/runtime/setup.ts";
import type { LinkAddress } from "../../../lib/runtime/deployment.ts";
import type { TaskDefinition } from "../../../lib/runtime/tasks/definition.ts";
import type { Envelope } from "../../../lib/runtime/tasks/envelope.ts";
import { OWN_TASK, writeEnvironment } from "../../../lib/shared/environment.ts";
import { type KubernetesServer, type S3Server, startKubernetes, startS3 } from "../servers/index.ts";
import { StandInNode } from "./node.ts";

const HERE = dirname(fileURLToPath(import.meta.url));
const RUNTIME = join(HERE, "../../../lib/clouds/kubernetes/runtime");

const CLAIMS = "claims";

/** What the test's own time is; processes are told. */
export interface Pace {
  readonly begin: number;
  readonly speed: number;
}

/** A cluster: an API server, a store, NATS, and programs that are ready to run. */
export class Cluster {
  readonly server: KubernetesServer;
  readonly s3: S3Server;
  readonly natsUrl: string;
  readonly shared: SharedNats;
  readonly ca: string;
  readonly admin: KubernetesApi;
  readonly programs: { readonly worker: string; readonly keeper: string };
  readonly #folder: string;
  #count = 0;

  private constructor(parts: Pick<Cluster, "server" | "s3" | "natsUrl" | "ca" | "programs">, folder: string) {
    this.server = parts.server;
    this.s3 = parts.s3;
    this.natsUrl = parts.natsUrl;
    this.ca = parts.ca;
    this.programs = parts.programs;
    this.shared = sharedNats({ url: parts.natsUrl, name: "test" });
    this.admin = this.api(parts.server.adminToken);
    this.#folder = folder;
  }

  /** @param handler what workers do */
  static async start(natsUrl: string, handler: string): Promise<Cluster> {
    const folder = mkdtempSync(join(tmpdir(), "millrace-cluster-"));
    const [server, s3] = await Promise.all([startKubernetes(), startS3()]);
    const { url, region, credentials } = s3;
    const client = new S3Client({ endpoint: url, region, credentials, forcePathStyle: true });
    await client.send(new CreateBucketCommand({ Bucket: CLAIMS }));
    client.destroy();
    const make = async (entry: string, ports: Readonly<Record<string, string>>) => {
      const args = { handler: { file: handler }, code: {}, settings: {}, install: [], target: "node24" } as const;
      return (await bundle({ ...args, entry: join(HERE, entry), ports, outdir: folder })).file;
    };
    const programs = {
      worker: await make("quick-job.ts", { [OWN_TASK]: join(RUNTIME, "own-task.ts") }),
      keeper: await make("quick-keep.ts", { tasks: join(RUNTIME, "keeper.ts") }),
    };
    return new Cluster({ server, s3, natsUrl, ca: await certificateOf(server.url), programs }, folder);
  }

  async stop(): Promise<void> {
    this.admin.close();
    await this.shared.close();
    await Promise.all([this.server.stop(), this.s3.stop()]);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  api(token: string): KubernetesApi {
    return new KubernetesApi({ server: this.server.url, ca: this.ca, token: () => token });
  }

  /** A stack of its own, in a namespace of its own, with a node that runs its pods. */
  async stack(definitions: readonly TaskDefinition[], pace: Pace, options: StackOptions = {}): Promise<Stack> {
    this.#count += 1;
    const stack = new Stack(this, `stack-${this.#count}`, definitions, pace);
    await stack.deploy(options);
    return stack;
  }
}

export interface StackOptions {
  /** Labels of the Jobs' template. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Of a worker's pod. @default 60 */
  readonly activeDeadlineSeconds?: number;
}

/** What a deployment makes of some tasks. */
export class Stack {
  readonly cluster: Cluster;
  readonly namespace: string;
  readonly definitions: readonly TaskDefinition[];
  readonly addresses: Readonly<Record<string, LinkAddress>>;
  readonly pace: Pace;
  #node: StandInNode | undefined;

  constructor(cluster: Cluster, namespace: string, definitions: readonly TaskDefinition[], pace: Pace) {
    this.cluster = cluster;
    this.namespace = namespace;
    this.definitions = definitions;
    this.pace = pace;
    this.addresses = Object.fromEntries(definitions.map((task) => [task.name, this.#addressOf(task)]));
  }

  get node(): StandInNode {
    return this.#node!;
  }

  get stream(): string {
    return `${this.namespace}-calls`;
  }

  async deploy({ labels = {}, activeDeadlineSeconds = 60 }: StackOptions): Promise<void> {
    await this.makeStreams();
    const { admin } = this.cluster;
    const make = (path: string, body: object) => admin.ask({ verb: "create", path, body });
    const inside = `/api/v1/namespaces/${this.namespace}`;
    await make("/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name: this.namespace } });
    for (const name of ACCOUNTS) {
      await make(`${inside}/serviceaccounts`, { apiVersion: "v1", kind: "ServiceAccount", metadata: { name } });
    }
    await this.#grant(
      "keeper",
      this.definitions.flatMap(({ name }) => keeperRules(jobOf(name))),
    );
    await this.#grant("reader", LOG_READER_RULES);
    for (const task of this.definitions) {
      await make(`/apis/batch/v1/namespaces/${this.namespace}/cronjobs`, {
        apiVersion: "batch/v1",
        kind: "CronJob",
        metadata: { name: jobOf(task.name) },
        spec: {
          schedule: "0 0 1 1 *",
          suspend: true,
          jobTemplate: {
            metadata: { labels },
            spec: { ...JOB, activeDeadlineSeconds, template: this.#podTemplate(task) },
          },
        },
      });
    }
    this.#node = new StandInNode(admin, this.namespace);
  }

  async #grant(account: Account, rules: readonly object[]): Promise<void> {
    const path = `/apis/rbac.authorization.k8s.io/v1/namespaces/${this.namespace}`;
    const head = { apiVersion: "rbac.authorization.k8s.io/v1", metadata: { name: account } };
    const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: account };
    const subjects = [{ kind: "ServiceAccount", name: account, namespace: this.namespace }];
    const { admin } = this.cluster;
    await admin.ask({ verb: "create", path: `${path}/roles`, body: { ...head, kind: "Role", rules } });
    const body = { ...head, kind: "RoleBinding", roleRef, subjects };
    await admin.ask({ verb: "create", path: `${path}/rolebindings`, body });
  }

  /** As the setup Jobs do. */
  async makeStreams(): Promise<void> {
    const { namespace: prefix, definitions, stream, pace } = this;
    await setUp(await this.cluster.shared.nats(), {
      streams: [
        { name: stream, subjects: [`${prefix}.call.>`, `${prefix}.keep.>`] },
        ...QUEUES.map((queue) => ({ name: `${prefix}-${queue}`, subjects: [`${prefix}.queue.${queue}`] })),
      ],
      consumers: definitions.map(({ name }) => ({
        stream,
        name: `keep-${name}`,
        subject: `${prefix}.keep.${name}`,
        visibility: 30 / pace.speed, // the server's clock is the real one
      })),
      tables: [`${prefix}-tasks`],
    });
  }

  /** A token of one of the stack's service accounts. */
  async token(account: Account): Promise<string> {
    const path = `/api/v1/namespaces/${this.namespace}/serviceaccounts/${account}/token`;
    const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: { audiences: [] } };
    const { status } = await this.cluster.admin.ask<{ status: { token: string } }>({ verb: "create", path, body });
    return status.token;
  }

  /** What a keeper's pod has in its environment; that of the cluster included. */
  keeperEnvironment(task: string): Readonly<Record<string, string>> {
    const { hostname, port } = new URL(this.cluster.server.url);
    return {
      ...this.#environment({ tasks: this.addresses[task]! }),
      MILLRACE_KEEPER: JSON.stringify({
        subject: this.addresses[task]!.keeper,
        stream: this.stream,
        consumer: `keep-${task}`,
        job: jobOf(task),
        namespace: this.namespace,
      }),
      KUBERNETES_SERVICE_HOST: hostname,
      KUBERNETES_SERVICE_PORT: port,
    };
  }

  /** What the queue has got so far. */
  async envelopes(queue: (typeof QUEUES)[number]): Promise<readonly Envelope[]> {
    const { streams } = await jetstreamManager(await this.cluster.shared.nats());
    const name = `${this.namespace}-${queue}`;
    const { state } = await streams.info(name);
    const bodies: Envelope[] = [];
    for (let seq = state.first_seq; seq <= state.last_seq && state.messages > 0; seq++) {
      bodies.push((await streams.getMessage(name, { seq }))!.json<Envelope>());
    }
    return bodies;
  }

  async close(): Promise<void> {
    await this.#node?.close();
  }

  #addressOf(task: TaskDefinition): LinkAddress {
    const prefix = this.namespace;
    return {
      kind: "task",
      part: task.name,
      definition: JSON.stringify(task),
      table: `${prefix}-tasks`,
      claims: CLAIMS,
      endpoint: this.cluster.s3.url,
      region: this.cluster.s3.region,
      job: jobOf(task.name),
      keeper: `${prefix}.keep.${task.name}`,
      dispatcher: `${prefix}.call.${task.name}-dispatch`,
      queues: JSON.stringify(Object.fromEntries(QUEUES.map((queue) => [queue, `${prefix}.queue.${queue}`]))),
      functions: "{}",
      namespace: prefix,
    };
  }

  #environment(links: Readonly<Record<string, LinkAddress>>): Record<string, string> {
    const { natsUrl, s3 } = this.cluster;
    const place = { namespace: this.namespace, nats: natsUrl, prefix: this.namespace };
    return {
      ...writeEnvironment({ place, logLevel: "info", tools: {}, sources: {}, links }),
      AWS_ACCESS_KEY_ID: s3.credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: s3.credentials.secretAccessKey,
      QUICK_BEGIN: String(this.pace.begin),
      QUICK_SPEED: String(this.pace.speed),
    };
  }

  #podTemplate({ name, grace }: TaskDefinition) {
    const env = Object.entries(this.#environment({ [OWN_TASK]: this.addresses[name]! }));
    return {
      spec: {
        serviceAccountName: "worker",
        automountServiceAccountToken: false,
        restartPolicy: "Never",
        terminationGracePeriodSeconds: Math.ceil(grace / this.pace.speed),
        containers: [
          {
            name: "main",
            image: "node",
            command: [process.execPath, this.cluster.programs.worker],
            env: env.map(([name, value]) => ({ name, value: value.replaceAll("$", "$$$$") })),
          },
        ],
      },
    };
  }
}

/** `reader` may read the logs of runs. */
const ACCOUNTS = ["keeper", "worker", "reader"] as const;
type Account = (typeof ACCOUNTS)[number];

const QUEUES = ["successes", "failures"] as const;

const JOB = { backoffLimit: 0, completions: 1, parallelism: 1, ttlSecondsAfterFinished: 600 };

const jobOf = (task: string): string => `${task}-work`;

/** Of whoever signed the server's own. */
function certificateOf(url: string): Promise<string> {
  const { hostname: host, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: Number(port), rejectUnauthorized: false }, () => {
      const own = socket.getPeerX509Certificate();
      resolve((own?.issuerCertificate ?? own)!.toString());
      socket.destroy();
    });
    socket.once("error", reject);
  });
}
