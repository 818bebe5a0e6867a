import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { build } from "esbuild";
import { moduleBuilds } from "../lib/bundle/module-builds.ts";
import type { CloudKind } from "../lib/parts/plan.ts";
import type { HandlerName } from "../test/bundle/functions.ts";
import { PROJECT } from "./machine.ts";

/** Makes one client, and takes the commands that a function needs at least. */
const CLIENTS = {
  s3: `import { GetObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
    export const s3 = [new S3Client(PLACE), GetObjectCommand, PutObjectCommand];`,
  sqs: `import { SendMessageCommand, SQSClient } from "@aws-sdk/client-sqs";
    export const sqs = [new SQSClient(PLACE), SendMessageCommand];`,
  dynamodb: `import { DynamoDBClient, GetItemCommand, PutItemCommand, QueryCommand } from "@aws-sdk/client-dynamodb";
    export const dynamodb = [new DynamoDBClient(PLACE), GetItemCommand, PutItemCommand, QueryCommand];`,
  states: `import { SFNClient, StartExecutionCommand } from "@aws-sdk/client-sfn";
    export const states = [new SFNClient(PLACE), StartExecutionCommand];`,
  oss: `import OSS from "ali-oss";
    export const oss = new OSS({ ...KEYS, region: "oss-cn-hangzhou", bucket: "bench" });`,
  tablestore: `import tablestore from "tablestore";
    export const rows = new tablestore.Client({ ...KEYS, endpoint: "http://127.0.0.1:9", instancename: "bench" });`,
  fc: `import * as fc from "@alicloud/fc20230330";
    export const Client = fc.default.default ?? fc.default;`,
  nats: `import { connect } from "@nats-io/transport-node"; import { jetstream } from "@nats-io/jetstream";
    export const nats = [connect, jetstream];`,
} as const;
type Client = keyof typeof CLIENTS;

const SETTINGS = `const PLACE = { region: "eu-central-1" };
  const KEYS = { accessKeyId: "bench", accessKeySecret: "bench", secretAccessKey: "bench" };`;

const TASKS: Readonly<Record<CloudKind, readonly Client[]>> = {
  local: [],
  alicloud: ["tablestore", "fc"],
  aws: ["dynamodb", "states"],
  kubernetes: ["nats"],
};
const STORE: Readonly<Record<CloudKind, readonly Client[]>> = {
  local: [],
  alicloud: ["oss"],
  aws: ["s3"],
  kubernetes: ["s3"],
};
/** There is no client of queues for Alibaba Cloud beside the provider's own samples. */
const USERS: Readonly<Record<CloudKind, readonly Client[]>> = {
  local: [],
  alicloud: ["oss", "tablestore"],
  aws: ["s3", "sqs", "dynamodb"],
  kubernetes: ["nats", "s3"],
};

/** The vendors' clients that a function with these links would make if it were written by hand. */
export function clientsOf(cloud: CloudKind, handler: HandlerName): readonly Client[] {
  if (handler === "a user's") return USERS[cloud];
  return handler.startsWith("video/") ? [...TASKS[cloud], ...STORE[cloud]] : TASKS[cloud];
}

/** The clients alone, bundled as ours are. */
export async function bareBundle(clients: readonly Client[], target: string, folder: string): Promise<string> {
  const outfile = join(folder, `bare-${clients.join("-")}-${target}.mjs`);
  await mkdir(folder, { recursive: true });
  await build({
    stdin: {
      contents: [SETTINGS, ...clients.map((client) => CLIENTS[client])].join("\n"),
      resolveDir: PROJECT,
    },
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    target,
    minify: true,
    keepNames: true,
    external: ["proxy-agent"], // ali-oss asks for it where there is a proxy
    plugins: [moduleBuilds],
    banner: { js: COMMONJS },
    logLevel: "error",
  });
  return outfile;
}

const COMMONJS = [
  'import { createRequire as __createRequire } from "node:module";',
  "const require = __createRequire(import.meta.url);",
  "const __filename = import.meta.filename, __dirname = import.meta.dirname;",
].join("\n");
