import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RAM_ACTIONS } from "../../../lib/clouds/alicloud/deploy/permissions.ts";
import type { AlicloudWorld } from "../../../lib/clouds/alicloud/runtime/account.ts";
import { taskIdOf } from "../../../lib/clouds/alicloud/runtime/fc-platform.ts";
import { port as functionPort } from "../../../lib/clouds/alicloud/runtime/function.ts";
import { port as kmsPort } from "../../../lib/clouds/alicloud/runtime/kms.ts";
import { port as ossPort } from "../../../lib/clouds/alicloud/runtime/oss.ts";
import { port as smqPort } from "../../../lib/clouds/alicloud/runtime/smq.ts";
import { port as tablestorePort } from "../../../lib/clouds/alicloud/runtime/tablestore.ts";
import { port as taskPort } from "../../../lib/clouds/alicloud/runtime/task.ts";
import { systemClock } from "../../../lib/runtime/clock.ts";
import type { LinkAddress } from "../../../lib/runtime/deployment.ts";
import { readEnvironment } from "../../../lib/shared/environment.ts";
import { Guard } from "../policies.ts";
import { functionOf, OneLinkEach, type PortOptions, testVerbs, type VerbsWorld } from "../verbs.ts";
import { guardFake, type Service } from "./asked.ts";
import { FakeFc } from "./fakes/fc.ts";
import { FakeOss } from "./fakes/oss.ts";
import { FakeServer, KEYS, keysOf } from "./fakes/server.ts";
import { FakeSmq } from "./fakes/smq.ts";
import { FakeTablestore } from "./fakes/tablestore.ts";
import { deploy, inputsOf, policiesOf } from "./stack.ts";

const PORTS = {
  bucket: ossPort,
  queue: smqPort,
  table: tablestorePort,
  secret: kmsPort,
  function: functionPort,
  task: taskPort,
} as const;

testVerbs({
  name: "Alibaba Cloud",
  actions: RAM_ACTIONS,
  denied: /403.*AccessDenied|OTSNoPermissionAccess/,
  async open() {
    const resources = await deploy((cloud) => void new OneLinkEach(cloud));
    const linkOf = (action: Parameters<typeof functionOf>[0]): LinkAddress => {
      const { environmentVariables } = inputsOf(resources, "V3Function", functionOf(action));
      return readEnvironment(environmentVariables).links.it as LinkAddress;
    };
    const guard = new Guard(policiesOf(resources));
    const addresses = {
      bucket: linkOf("bucket.read"),
      queue: linkOf("queue.send"),
      table: linkOf("table.read"),
      secret: linkOf("secret.read"),
      function: linkOf("function.invoke"),
      task: linkOf("task.submit"),
    };
    const { task } = addresses;
    const [told] = Object.values(JSON.parse(task.queues!) as Record<string, string>);
    const [hook] = Object.values(JSON.parse(task.functions!) as Record<string, string>);
    const [store, claims] = [new FakeOss(addresses.bucket.bucket!), new FakeOss(task.claims!)];
    const smq = new FakeSmq({ [addresses.queue.queue!]: { visibility: 30 }, [told!]: { visibility: 30 } });
    const [rows, runs] = [new FakeTablestore(), new FakeTablestore()];
    const fc = new FakeFc();
    const kms: FakeServer = new FakeServer((request) =>
      kms.forbids(request)
        ? { status: 403, body: JSON.stringify({ Code: "Forbidden.AccessDenied", Message: "not authorized" }) }
        : { status: 200, body: JSON.stringify({ SecretData: "s3cret" }) },
    );
    const forever = new Promise<never>(() => {});
    const echo = async (event: Buffer) => event;
    fc.functions.set(task.worker!, { handler: () => forever, timeout: 600, asyncTask: true });
    for (const name of [addresses.function.function!, hook!, task.keeper!])
      fc.functions.set(name, { handler: echo, timeout: 60 });
    const servers: readonly (readonly [FakeServer, Service])[] = [
      [store.server, "oss"],
      [claims.server, "oss"],
      [smq.server, "smq"],
      [rows.server, "tablestore"],
      [runs.server, "tablestore"],
      [fc.server, "fc"],
      [kms, "kms"],
    ];
    for (const [server, service] of servers) guardFake(server, service, guard);
    await Promise.all(servers.map(([server]) => server.start()));
    const endpoints: Readonly<Record<keyof typeof addresses, object>> = {
      bucket: { endpoint: store.server.origin },
      queue: { endpoint: smq.server.origin },
      table: { endpoint: rows.server.origin },
      secret: { endpoint: kms.origin },
      function: { functionEndpoint: fc.server.origin },
      task: {
        bucketEndpoint: claims.server.origin,
        queueEndpoint: smq.server.origin,
        tableEndpoint: runs.server.origin,
        functionEndpoint: fc.server.origin,
      },
    };
    const files = await mkdtemp(join(tmpdir(), "millrace-verbs-"));
    const worldOf = ({ role, ahead = 0 }: PortOptions): AlicloudWorld => ({
      signal: new AbortController().signal,
      clock: {
        now: () => systemClock.now() + ahead,
        at: (time, callback) => systemClock.at(time - ahead, callback),
      },
      log: { debug() {}, info() {}, warn() {}, error() {} },
      files,
      region: "cn-hangzhou",
      credentials: () => (role === undefined ? KEYS : keysOf(role)),
    });
    return {
      guard,
      addresses,
      async port(kind, options = {}) {
        const address = { ...addresses[kind], ...endpoints[kind], ...options.address } as LinkAddress;
        return (await PORTS[kind](address, worldOf(options))) as never;
      },
      async startBefore(id) {
        fc.tasks.set(`${task.worker}/${taskIdOf({ task: task.part, id, attempt: 1 })}`, { status: "Running" });
      },
      loseClaims: async () => claims.objects.clear(),
      breakStarts() {
        const worker = fc.functions.get(task.worker!)!;
        fc.functions.delete(task.worker!);
        return () => void fc.functions.set(task.worker!, worker);
      },
      requests: () => servers.reduce((sum, [{ requests }]) => sum + requests.length, 0),
      async close() {
        await fc.close();
        await Promise.all(servers.filter(([server]) => server !== fc.server).map(([server]) => server.close()));
        await rm(files, { recursive: true, force: true });
      },
    } satisfies VerbsWorld;
  },
});
