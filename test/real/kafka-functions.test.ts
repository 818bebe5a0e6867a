import { execFile, execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { unzipSync } from "fflate";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Cloud, Construct, claim, code, consumed, type Kafka, produce } from "../../lib/parts/index.ts";
import type { RegisteredResource } from "../../lib/program/mocks.ts";
import { deploy as deployAlicloud } from "../clouds/alicloud/stack.ts";
import { deploy as deployAws } from "../clouds/aws/stack.ts";
import { KafkaWorld } from "./kafka-world.ts";

const NODE20 = "/usr/bin/node";
const isNode20 = existsSync(NODE20) && execFileSync(NODE20, ["--version"]).toString().startsWith("v20.");
const USER = { username: "ann", password: "s3cret" };

/** Hands on what it gets, each record once. */
class Following extends Construct {
  constructor(cloud: Cloud, from: Omit<Kafka, "user">, [orders, done]: readonly [string, string]) {
    super("Following", "shop", { cloud });
    const kafka = { ...from, user: this.secret("user", { config: "token" }) };
    const input = this.stream("orders", { kafka, existing: orders });
    const output = this.stream("done", { kafka, existing: done });
    this.function("follow", {
      handler: code<typeof import("./engine/programs/follow.ts")>(
        new URL("./engine/programs/follow.ts", import.meta.url),
      ),
      when: consumed(input),
      links: { orders: claim(input), done: produce(output) },
    });
    this.build();
  }
}

interface Platform {
  readonly name: string;
  /** What runs its functions. */
  readonly node: string;
  deploy(topics: readonly [string, string]): Promise<readonly RegisteredResource[]>;
  /** What it brings: values from an offset on, of the topic's first partition. */
  event(topic: string, first: number, values: readonly string[]): unknown;
  /** JavaScript that calls `handler` with `event`. */
  readonly call: string;
}

const network = { vpc: "vpc-1", vswitch: "vsw-1", securityGroup: "sg-1" };
const PLATFORMS: readonly Platform[] = [
  {
    name: "Function Compute",
    node: isNode20 ? NODE20 : process.execPath,
    deploy: (topics) =>
      deployAlicloud(
        (cloud) =>
          void new Following(cloud, { brokers: ["k:9094"], instance: "alikafka_post-cn-1", tls: false }, topics),
        { kmsInstance: { id: "kst-1", key: "key-1" }, existing: { network } },
      ),
    event: (topic, first, values) =>
      values.map((value, index) => {
        const data = { topic, partition: 0, offset: first + index, timestamp: 1, value };
        return JSON.stringify({ type: "alikafka:Topic:Message", specversion: "1.0", data });
      }),
    call: `await handler(Buffer.from(JSON.stringify(event)), {
      requestId: "r-1",
      function: { timeout: 60 },
      credentials: { accessKeyId: "a", accessKeySecret: "s", securityToken: "t" },
    })`,
  },
  {
    name: "Lambda",
    node: process.execPath,
    deploy: (topics) =>
      deployAws((cloud) => void new Following(cloud, { brokers: ["k:9094"] }, topics), {
        existing: { network: { subnets: ["subnet-1"], securityGroups: ["sg-1"] } },
      }),
    event: (topic, first, values) => ({
      eventSource: "SelfManagedKafka",
      records: {
        [`${topic}-0`]: values.map((value, index) => ({
          ...{ topic, partition: 0, offset: first + index, timestamp: 1, headers: [] },
          value: Buffer.from(value).toString("base64"),
        })),
      },
    }),
    call: `await handler(event, { awsRequestId: "r-1", getRemainingTimeInMillis: () => 60_000 })`,
  },
];

const runner = ({ call }: Platform): string => `
const [{ handler }, event] = [await import(process.argv[2]), JSON.parse(process.argv[3])];
const show = (outcome) => process.stderr.write("\\n" + JSON.stringify(outcome));
try {
  ${call};
  show({});
} catch (error) {
  show({ error: error.message });
}
process.exit(0);
`;

let kafka: KafkaWorld;
let secrets: Server;
let password = USER.password;
let home: string;
const before = process.cwd();
beforeAll(async () => {
  kafka = await KafkaWorld.start({ users: [USER] });
  // Both services' answers at once: neither minds the other's fields.
  secrets = createServer((_, answer) => {
    const text = JSON.stringify({ ...USER, password });
    answer.setHeader("content-type", "application/x-amz-json-1.1");
    answer.end(JSON.stringify({ SecretData: text, SecretDataType: "text", SecretString: text }));
  }).listen(0, "127.0.0.1");
  home = await mkdtemp(join(tmpdir(), "millrace-kafka-functions-"));
  process.chdir(home);
}, 60_000);
afterAll(async () => {
  process.chdir(before);
  secrets.close();
  await kafka.stop();
  await rm(home, { recursive: true, force: true });
});

describe.each(PLATFORMS)("a function that a stream starts, deployed to $name", (platform) => {
  let topics: readonly [string, string];
  let call: (first: number, ...values: readonly string[]) => Promise<{ readonly error?: string }>;
  beforeAll(async () => {
    topics = [await kafka.topic(1), await kafka.topic(1)];
    const stack = await platform.deploy(topics);
    const folder = join(home, platform.name);
    await install(stack, folder);
    await writeFile(join(folder, "run.mjs"), runner(platform));
    const env = environmentOf(stack);
    call = async (first, ...values) => {
      const args = [
        join(folder, "run.mjs"),
        join(folder, "index.mjs"),
        JSON.stringify(platform.event(topics[0], first, values)),
      ];
      const { stderr } = await promisify(execFile)(platform.node, args, { env });
      return JSON.parse(stderr.trim().split("\n").at(-1)!);
    };
  }, 60_000);

  it("hands on each record once, whatever is brought again", async () => {
    expect(await call(0, "a", "b", "c")).toEqual({});
    expect(await call(0, "a", "b", "c")).toEqual({});
    expect(await call(2, "c", "猫", "e")).toEqual({});
    const values = (await kafka.read(topics[1])).map(({ value }) => Buffer.from(value!).toString());
    expect(values).toEqual(["a", "b", "c", "猫", "e"]);
  });

  it("fails with its batch if it cannot do it, so that it is brought again", async () => {
    password = "wrong";
    const { error } = await call(5, "f");
    password = USER.password;
    expect(error).toMatch(/claim partition 0 of .*: SASL_AUTHENTICATION_FAILED$/);
    expect(await kafka.read(topics[1])).toHaveLength(5);
  });
});

const codeOf = (stack: readonly RegisteredResource[]) =>
  stack.find(({ type, name }) => /BucketObject(v2)?$/.test(type) && name === "shop-follow-code")!.inputs;

async function install(stack: readonly RegisteredResource[], folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const zip = await readFile(join(home, ".millrace/deploy/zip", basename(String(codeOf(stack).key))));
  for (const [file, bytes] of Object.entries(unzipSync(zip))) await writeFile(join(folder, file), bytes);
}

/** As it was deployed, but that Kafka and the secrets are here. */
function environmentOf(stack: readonly RegisteredResource[]): NodeJS.ProcessEnv {
  const { inputs } = stack.find(({ type, name }) => /:(V3)?Function$/.test(type) && name === "shop-follow")!;
  const variables = (inputs.environmentVariables ?? (inputs.environment as { variables: object }).variables) as object;
  const endpoint = `http://127.0.0.1:${(secrets.address() as AddressInfo).port}`;
  const placed = Object.entries(variables as Record<string, string>).map(([name, value]) => {
    if (!name.startsWith("MILLRACE_LINK_")) return [name, value];
    const address = JSON.parse(value) as { readonly kind: string };
    const here = address.kind === "stream" ? { brokers: kafka.server.guarded, tls: "false" } : { endpoint };
    return [name, JSON.stringify({ ...address, ...here })];
  });
  const keys = { AWS_ACCESS_KEY_ID: "a", AWS_SECRET_ACCESS_KEY: "s" };
  return { PATH: process.env.PATH, ...keys, ...(Object.fromEntries(placed) as Record<string, string>) };
}
