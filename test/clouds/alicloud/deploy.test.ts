import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import * as fc from "@alicloud/fc20230330";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type AlicloudSettings, alicloud } from "../../../lib/clouds/alicloud/index.ts";
import { AsyncTask, VideoTranscodePipeline } from "../../../lib/index.ts";
import { type Cloud, Construct, code, cron, every, invoke, mount, read } from "../../../lib/parts/index.ts";
import type { RegisteredResource } from "../../../lib/program/mocks.ts";
import { synthesize } from "../../../lib/testing/synthesize.ts";
import { unknownNames } from "./models.ts";
import { ACCOUNT, deploy, inputsOf, listOf, ofType, REGION } from "./stack.ts";

let home: string;
const before = process.cwd();
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "millrace-deploy-"));
  process.chdir(home);
});
afterAll(async () => {
  process.chdir(before);
  await rm(home, { recursive: true, force: true });
});

const report = code<typeof import("../../../examples/async-task/report.ts")>(
  new URL("../../../examples/async-task/report.ts", import.meta.url),
);

const parsed = (text: unknown): unknown => JSON.parse(text as string);

describe("AsyncTask", () => {
  let resources: readonly RegisteredResource[];
  beforeAll(async () => {
    resources = await deploy(
      (cloud) => new AsyncTask("reports", { cloud, handler: report, timeout: "2 hours", concurrency: 4 }),
    );
  });
  everywhere(() => resources);

  it("is these resources", () => {
    expect(listOf(resources)).toEqual([
      "Alarm reports-alarms-reports-task-failures",
      "Bucket alicloud-cn-hangzhou-artifacts",
      "BucketObject reports-task-dispatch-code",
      "BucketObject reports-task-keep-code",
      "BucketObject reports-task-work-code",
      "Instance alicloud-cn-hangzhou-tables",
      "Policy reports-task-dispatch-role-policy",
      "Policy reports-task-keep-role-policy",
      "Policy reports-task-work-role-policy",
      "Project alicloud-cn-hangzhou-logs",
      "Role reports-task-dispatch-role",
      "Role reports-task-keep-role",
      "Role reports-task-work-role",
      "RolePolicyAttachment reports-task-dispatch-role-policy-attachment",
      "RolePolicyAttachment reports-task-keep-role-policy-attachment",
      "RolePolicyAttachment reports-task-work-role-policy-attachment",
      "ServiceQueue reports-failures",
      "Store alicloud-cn-hangzhou-logs-functions",
      "StoreIndex alicloud-cn-hangzhou-logs-functions-index",
      "Table alicloud-cn-hangzhou-tasks",
      "V3AsyncInvokeConfig reports-task-dispatch-async",
      "V3AsyncInvokeConfig reports-task-keep-async",
      "V3AsyncInvokeConfig reports-task-work-async",
      "V3Function reports-task-dispatch",
      "V3Function reports-task-keep",
      "V3Function reports-task-work",
      expect.stringMatching(/^V3Trigger reports-task-keep-on-reports-task-keep-/),
      "alicloud alicloud-cn-hangzhou",
    ]);
  });

  it("the worker takes asynchronous tasks, whose failures go to the keeper; nothing is tried by the service", () => {
    expect(inputsOf(resources, "V3AsyncInvokeConfig", "reports-task-work-async")).toEqual({
      functionName: expect.stringMatching(/^reports-task-work-/),
      qualifier: "LATEST",
      asyncTask: true,
      maxAsyncRetryAttempts: 0,
      destinationConfig: {
        onFailure: {
          destination: expect.stringMatching(`^acs:fc:${REGION}:${ACCOUNT}:functions/reports-task-keep-`),
        },
      },
    });
    expect(inputsOf(resources, "V3Function", "reports-task-work")).toMatchObject({
      runtime: "nodejs20",
      handler: "index.handler",
      timeout: 7200,
      memorySize: 512,
      diskSize: 512,
      cpu: 0.5,
      instanceConcurrency: 1,
    });
  });

  it("each role has the verbs of its links, on what is linked", () => {
    const names = (name: string) => inputsOf(resources, "V3Function", name).functionName as string;
    const arn = (name: string) => `acs:fc:${REGION}:${ACCOUNT}:functions/${names(name)}`;
    const bucket = inputsOf(resources, "Bucket", "alicloud-cn-hangzhou-artifacts").bucket;
    const table = inputsOf(resources, "Table", "alicloud-cn-hangzhou-tasks");
    const queue = inputsOf(resources, "ServiceQueue", "reports-failures").queueName;
    const { projectName } = inputsOf(resources, "Project", "alicloud-cn-hangzhou-logs");
    const allow = (Action: readonly string[], ...Resource: readonly string[]) => ({
      Effect: "Allow",
      Action,
      Resource,
    });
    const submits = [
      allow(
        ["ots:GetRow", "ots:GetRange", "ots:PutRow", "ots:DeleteRow"],
        `acs:ots:${REGION}:${ACCOUNT}:instance/${table.instanceName}/table/${table.tableName}`,
      ),
      allow(["oss:GetObject", "oss:PutObject", "oss:DeleteObject"], `acs:oss:*:*:${bucket}/tasks/reports-task/*`),
      allow(["mns:SendMessage"], `acs:mns:${REGION}:${ACCOUNT}:/queues/${queue}/messages`),
      allow(["fc:InvokeFunction"], arn("reports-task-work"), arn("reports-task-keep")),
      allow(["fc:GetAsyncTask", "fc:StopAsyncTask"], `${arn("reports-task-work")}/async-tasks/*`),
    ];
    const logs = allow(
      ["log:PostLogStoreLogs"],
      `acs:log:${REGION}:${ACCOUNT}:project/${projectName}/logstore/functions`,
    );
    const policyOf = (name: string) => parsed(inputsOf(resources, "Policy", `${name}-role-policy`).policyDocument);
    for (const part of ["reports-task-dispatch", "reports-task-work", "reports-task-keep"])
      expect(policyOf(part)).toEqual({ Version: "1", Statement: [...submits, logs] });
  });
});

describe("VideoTranscodePipeline", () => {
  let resources: readonly RegisteredResource[];
  beforeAll(async () => {
    resources = await deploy(
      (cloud) =>
        new VideoTranscodePipeline("videos", { cloud, formats: ["mp4"], prefix: "in/", suffixes: [".mp4", ".mov"] }),
    );
  });
  everywhere(() => resources);

  it("is these resources", () => {
    const own = listOf(resources).filter((line) => !line.includes("alicloud-cn-hangzhou"));
    expect(own.map((line) => line.replace(/-[a-z0-9]{6}$/, (end) => (/V3Trigger/.test(line) ? "" : end)))).toEqual([
      "Alarm videos-alarms-videos-dead-letters-messages",
      "Alarm videos-alarms-videos-transcode-failures",
      "Bucket videos-outputs",
      "Bucket videos-uploads",
      "BucketObject videos-transcode-dispatch-code",
      "BucketObject videos-transcode-keep-code",
      "BucketObject videos-transcode-work-code",
      "Policy videos-transcode-dispatch-oss-policy",
      "Policy videos-transcode-dispatch-role-policy",
      "Policy videos-transcode-keep-role-policy",
      "Policy videos-transcode-work-role-policy",
      "Role videos-transcode-dispatch-oss",
      "Role videos-transcode-dispatch-role",
      "Role videos-transcode-keep-role",
      "Role videos-transcode-work-role",
      "RolePolicyAttachment videos-transcode-dispatch-oss-policy-attachment",
      "RolePolicyAttachment videos-transcode-dispatch-role-policy-attachment",
      "RolePolicyAttachment videos-transcode-keep-role-policy-attachment",
      "RolePolicyAttachment videos-transcode-work-role-policy-attachment",
      "ServiceQueue videos-dead-letters",
      "ServiceQueue videos-failures",
      "ServiceQueue videos-requests",
      "V3AsyncInvokeConfig videos-transcode-dispatch-async",
      "V3AsyncInvokeConfig videos-transcode-keep-async",
      "V3AsyncInvokeConfig videos-transcode-work-async",
      "V3Function videos-transcode-dispatch",
      "V3Function videos-transcode-keep",
      "V3Function videos-transcode-work",
      "V3Trigger videos-transcode-dispatch-on-videos-requests",
      "V3Trigger videos-transcode-dispatch-on-videos-uploads",
      "V3Trigger videos-transcode-dispatch-on-videos-uploads",
      "V3Trigger videos-transcode-keep-on-videos-transcode-keep",
    ]);
  });

  it("buckets are encrypted and abort what is left of uploads; queues know their dead letters", () => {
    expect(inputsOf(resources, "Bucket", "videos-uploads")).toEqual({
      bucket: expect.stringMatching(/^videos-uploads-[a-z0-9]{8}$/),
      serverSideEncryptionRule: { sseAlgorithm: "AES256" },
      lifecycleRules: [
        { id: "abort-incomplete-uploads", enabled: true, prefix: "", abortMultipartUploads: [{ days: 1 }] },
      ],
      tags: { "millrace:part": "videos-uploads", "millrace:project": "shop", "millrace:stack": "prod" },
    });
    expect(inputsOf(resources, "ServiceQueue", "videos-requests")).toMatchObject({
      visibilityTimeout: 360,
      dlqPolicy: {
        enabled: true,
        maxReceiveCount: 5,
        deadLetterTargetQueue: inputsOf(resources, "ServiceQueue", "videos-dead-letters").queueName,
      },
    });
  });

  it("uploads call the dispatcher by a role of their own, one trigger for each ending", () => {
    const triggers = ofType(resources, "V3Trigger").filter(({ inputs }) => inputs.triggerType === "oss");
    expect(triggers.map(({ inputs }) => parsed(inputs.triggerConfig))).toEqual([
      {
        events: expect.arrayContaining(["oss:ObjectCreated:PutObject"]),
        filter: { key: { prefix: "in/", suffix: ".mp4" } },
      },
      {
        events: expect.arrayContaining(["oss:ObjectCreated:PutObject"]),
        filter: { key: { prefix: "in/", suffix: ".mov" } },
      },
    ]);
    const bucket = inputsOf(resources, "Bucket", "videos-uploads").bucket;
    for (const { inputs } of triggers) {
      expect(inputs.sourceArn).toBe(`acs:oss:${REGION}:${ACCOUNT}:${bucket}`);
      expect(inputs.invocationRole).toMatch(/^acs:ram::\d+:role\/videos-transcode-dispatch-oss-/);
    }
    const name = inputsOf(resources, "V3Function", "videos-transcode-dispatch").functionName;
    expect(parsed(inputsOf(resources, "Policy", "videos-transcode-dispatch-oss-policy").policyDocument)).toEqual({
      Version: "1",
      Statement: [
        {
          Effect: "Allow",
          Action: ["fc:InvokeFunction"],
          Resource: [`acs:fc:${REGION}:${ACCOUNT}:functions/${name}`],
        },
      ],
    });
    const trust = inputsOf(resources, "Role", "videos-transcode-dispatch-oss").assumeRolePolicyDocument;
    expect(parsed(trust)).toMatchObject({ Statement: [{ Principal: { Service: ["oss.aliyuncs.com"] } }] });
  });

  it("the worker reads uploads, writes outputs, and does neither the other way round", () => {
    const { Statement } = parsed(inputsOf(resources, "Policy", "videos-transcode-work-role-policy").policyDocument) as {
      Statement: { Action: string[]; Resource: string[] }[];
    };
    const verbsOn = (part: string) => {
      const { bucket } = inputsOf(resources, "Bucket", part);
      return Statement.filter(({ Resource }) => Resource.some((one) => one.includes(`:${bucket}`))).flatMap(
        ({ Action }) => Action,
      );
    };
    expect(verbsOn("videos-uploads")).toEqual(["oss:GetObject", "oss:ListObjects"]);
    expect(verbsOn("videos-outputs")).toEqual(["oss:PutObject", "oss:AbortMultipartUpload", "oss:ListParts"]);
    expect(inputsOf(resources, "V3Function", "videos-transcode-work")).toMatchObject({
      memorySize: 4096,
      diskSize: 10_240,
      cpu: 2,
      layers: [expect.stringContaining("layers/f/"), expect.stringContaining("layers/p/")],
    });
  });
});

/** What holds for every stack. */
function everywhere(all: () => readonly RegisteredResource[]): void {
  it("has triggers whose settings have the service's own names, upper and lower case included", () => {
    const models = {
      oss: fc.OSSTriggerConfig,
      timer: fc.TimerTriggerConfig,
      eventbridge: fc.EventBridgeTriggerConfig,
    } as const;
    const triggers = ofType(all(), "V3Trigger");
    expect(triggers.length).toBeGreaterThan(0);
    for (const { inputs } of triggers) {
      const model = models[inputs.triggerType as keyof typeof models];
      expect(unknownNames(model, parsed(inputs.triggerConfig))).toEqual([]);
    }
  });

  it("uses a role after its policies are attached, and code by what is in it", () => {
    const order = all().map(({ type, name }) => `${type.split(":").at(-1)} ${name}`);
    for (const { name, inputs } of ofType(all(), "V3Function")) {
      const attached = order.indexOf(`RolePolicyAttachment ${name}-role-policy-attachment`);
      expect(attached).toBeGreaterThanOrEqual(0);
      expect(attached).toBeLessThan(order.indexOf(`V3Function ${name}`));
      const { key, source } = inputsOf(all(), "BucketObject", `${name}-code`);
      expect(inputs.code).toMatchObject({ ossObjectName: key });
      expect(key).toMatch(/^code\/[\w-]+\/[0-9a-f]{20}\.zip$/);
      expect(source).toBe(join(".millrace/deploy/zip", basename(key)));
      expect(existsSync(source)).toBe(true);
    }
  });

  it("keeps to the services' sizes and names", () => {
    for (const { inputs } of ofType(all(), "V3Function")) {
      expect(inputs.functionName).toMatch(/^[A-Za-z_][A-Za-z0-9_-]{0,63}$/);
      const variables = Object.entries(inputs.environmentVariables as Record<string, string>);
      expect(variables.reduce((sum, [name, value]) => sum + name.length + value.length + 2, 0)).toBeLessThan(4096);
      for (const [name] of variables) expect(name).toMatch(/^[A-Za-z][A-Za-z0-9_]*$/);
    }
    for (const { inputs } of ofType(all(), "Policy")) {
      const text = inputs.policyDocument as string;
      expect(text.length).toBeLessThan(6144);
      const { Statement } = parsed(text) as { Statement: { Action: string[]; Resource: string[] }[] };
      for (const { Action, Resource } of Statement) {
        expect(Action.join()).not.toContain("*");
        expect(Resource).not.toContain("*");
      }
    }
    for (const { inputs } of ofType(all(), "Instance")) expect(inputs.name).toMatch(/^[A-Za-z][A-Za-z0-9-]{2,15}$/);
    for (const { inputs } of ofType(all(), "Table")) expect(inputs.tableName).toMatch(/^[A-Za-z_][A-Za-z0-9_]*$/);
    for (const { inputs } of ofType(all(), "Bucket"))
      expect(inputs.bucket).toMatch(/^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/);
  });
}

describe("a wrong name in a trigger", () => {
  it("is found", () => {
    const config = { events: [], Filter: {}, filter: { key: { Prefix: "" } } };
    expect(unknownNames(fc.OSSTriggerConfig, config)).toEqual(["Filter", "filter.key.Prefix"]);
  });
});

const echo = code<{ handler: (event: unknown, context: unknown) => Promise<unknown> }>(
  new URL("./functions/echo.ts", import.meta.url),
);

/** One of every part that the constructs of the library do not use. */
class Everything extends Construct {
  constructor(cloud: Cloud) {
    super("Everything", "all", { cloud });
    const failures = this.queue("failures");
    const secret = this.secret("token", { config: "token" });
    const table = this.table("state", { removable: true });
    const files = this.volume("files");
    const inner = this.function("inner", {
      handler: echo,
      when: [every("5 minutes"), cron("0 4 * * mon-fri", { timeZone: "Asia/Shanghai" })],
      failures,
      concurrency: 3,
      attempts: 5,
      environment: { MODE: "quick" },
    } as never);
    this.function("outer", {
      handler: echo,
      links: { "inner-one": invoke(inner), secret: read(secret), table: read(table), files: mount(files) },
    } as never);
    this.bucket("kept", { existing: "a-bucket-of-mine" });
    this.bucket("short", { expires: "30 days", versioned: true, removable: true });
    this.build();
  }
}

describe("every part", () => {
  let resources: readonly RegisteredResource[];
  beforeAll(async () => {
    resources = await deploy((cloud) => new Everything(cloud), {
      kmsInstance: { id: "kst-1", key: "key-1" },
      existing: { network: { vpc: "vpc-1", vswitch: "vsw-1", securityGroup: "sg-1" } },
    });
  });
  everywhere(() => resources);

  it("times are triggers of what they start", () => {
    const timers = ofType(resources, "V3Trigger").map(({ inputs }) => parsed(inputs.triggerConfig));
    expect(timers).toEqual([
      { cronExpression: "@every 5m", enable: true, payload: "all-inner-schedule-1" },
      { cronExpression: "CRON_TZ=Asia/Shanghai 0 0 4 * * 1-5", enable: true, payload: "all-inner-schedule-2" },
    ]);
  });

  it("a function's tries, failures, cap and environment are the service's", () => {
    const { queueName } = inputsOf(resources, "ServiceQueue", "all-failures");
    expect(inputsOf(resources, "V3AsyncInvokeConfig", "all-inner-async")).toMatchObject({
      maxAsyncRetryAttempts: 4,
      destinationConfig: { onFailure: { destination: `acs:mns:${REGION}:${ACCOUNT}:/queues/${queueName}/messages` } },
    });
    expect(inputsOf(resources, "V3ConcurrencyConfig", "all-inner-concurrency")).toMatchObject({
      reservedConcurrency: 3,
    });
    expect(inputsOf(resources, "V3Function", "all-inner").environmentVariables).toMatchObject({ MODE: "quick" });
  });

  it("a secret's value is in the vault alone", () => {
    const { secretData, ...rest } = inputsOf(resources, "Secret", "all-token");
    expect(secretData.value ?? secretData).toBe("s3cret");
    expect(rest).toMatchObject({ dkmsInstanceId: "kst-1", encryptionKeyId: "key-1" });
    const { policyDocument } = inputsOf(resources, "Policy", "all-outer-role-policy");
    const kms = (parsed(policyDocument) as { Statement: readonly { Action: readonly string[] }[] }).Statement.filter(
      ({ Action }) => Action.some((verb) => verb.startsWith("kms:")),
    );
    expect(kms).toEqual([
      {
        Effect: "Allow",
        Action: ["kms:GetSecretValue"],
        Resource: [`acs:kms:${REGION}:${ACCOUNT}:secret/${rest.secretName}`],
      },
      { Effect: "Allow", Action: ["kms:Decrypt"], Resource: [`acs:kms:${REGION}:${ACCOUNT}:key/key-1`] },
    ]);
    const others = resources.filter(({ name }) => name !== "all-token");
    expect(JSON.stringify(others)).not.toContain("s3cret");
  });

  it("a volume puts its function into the network", () => {
    expect(inputsOf(resources, "V3Function", "all-outer")).toMatchObject({
      internetAccess: true,
      vpcConfig: { vpcId: "vpc-1", vswitchIds: ["vsw-1"], securityGroupId: "sg-1" },
      nasConfig: {
        mountPoints: [{ serverAddr: `all-files-mount.${REGION}.nas.aliyuncs.com:/`, mountDir: "/mnt/all-files" }],
      },
    });
    expect(inputsOf(resources, "V3Function", "all-inner").vpcConfig).toBeUndefined();
  });

  it("what there is already is used by its name; what may go goes with all in it", () => {
    expect(listOf(resources)).not.toContain("Bucket all-kept");
    expect(inputsOf(resources, "Bucket", "all-short")).toMatchObject({
      forceDestroy: true,
      versioning: { status: "Enabled" },
      lifecycleRules: [{ id: "abort-incomplete-uploads" }, { id: "expire", expirations: [{ days: 30 }] }],
    });
  });
});

describe("what is refused, all at once and in words", () => {
  /** What is wrong with a program; nothing of it is made. */
  const problemsOf = async (declare: (cloud: Cloud) => unknown, settings: Partial<AlicloudSettings> = {}) => {
    const { problems } = await synthesize(() => declare(alicloud({ region: REGION, account: ACCOUNT, ...settings })));
    return problems.map(({ path, message }) => `${path}: ${message}`);
  };

  it("alarms without a target, and a tool from nowhere", async () => {
    const found = await problemsOf(
      (cloud) => new AsyncTask("reports", { cloud, handler: report, tools: ["pandoc", "ffmpeg"] }),
    );
    expect(found).toEqual([
      expect.stringMatching(/^reports-task-work\.tools: nobody says where "pandoc" comes from/),
      expect.stringMatching(/^reports-alarms\.alarms: .*contactGroups/),
    ]);
  });

  it("secrets without a vault, and an environment that does not fit", async () => {
    class Wide extends Construct {
      constructor(cloud: Cloud) {
        super("Wide", "wide", { cloud });
        const secret = this.secret("token", { config: "token" });
        const buckets = Array.from({ length: 20 }, (_, index) => this.bucket(`part-${index}`));
        const links = Object.fromEntries(buckets.map((bucket, index) => [`link${index}`, read(bucket)]));
        this.function("busy", { handler: echo, links: { ...links, secret: read(secret) } } as never);
        this.build();
      }
    }
    expect(await problemsOf((cloud) => new Wide(cloud))).toEqual([
      expect.stringMatching(/^wide-token\.config: .*kmsInstance/),
      expect.stringMatching(/^wide-busy\.links: .*4 KB/),
    ]);
  });

  it("a file system of the user's, in a network nobody has named", async () => {
    class Mounting extends Construct {
      constructor(cloud: Cloud) {
        super("Mounting", "mounting", { cloud });
        this.volume("files", { existing: "fs.nas.aliyuncs.com" });
        this.build();
      }
    }
    const declare = (cloud: Cloud) => new Mounting(cloud);
    expect(await problemsOf(declare)).toEqual([expect.stringMatching(/^mounting-files\.existing: .*network/)]);
    const network = { vpc: "vpc-1", vswitch: "vsw-1", securityGroup: "sg-1" };
    expect(await problemsOf(declare, { existing: { network } })).toEqual([]);
  });
});

describe("the way to what Millrace does not cover", () => {
  it("alarms may be left out by name, and any tool may have a layer", async () => {
    const resources = await deploy((cloud) => new AsyncTask("reports", { cloud, handler: report, tools: ["pandoc"] }), {
      contactGroups: [],
      existing: { layers: { pandoc: "acs:fc:r:1:layers/p/versions/1" } },
    });
    expect(ofType(resources, "Alarm")).toEqual([]);
    const { environmentVariables, layers } = inputsOf(resources, "V3Function", "reports-task-work");
    expect(layers).toEqual(["acs:fc:r:1:layers/p/versions/1"]);
    expect(parsed(environmentVariables.MILLRACE_TOOLS)).toEqual({ pandoc: "/opt/bin/pandoc" });
  });

  it("every raw resource passes the transform, by its type", async () => {
    const seen = new Set<string>();
    const resources = await deploy((cloud) => new AsyncTask("reports", { cloud, handler: report }), {
      transform: (type, _name, args) => {
        seen.add(type);
        return type === "alicloud:fc/v3Function:V3Function" ? { args: { ...args, description: "ours" } } : undefined;
      },
    });
    const types = new Set(resources.map(({ type }) => type).filter((type) => !type.startsWith("pulumi:")));
    expect(seen).toEqual(types);
    for (const { inputs } of ofType(resources, "V3Function")) expect(inputs.description).toBe("ours");
  });

  it("a user's own bucket, logs and tables are used, and none is made", async () => {
    const resources = await deploy((cloud) => new AsyncTask("reports", { cloud, handler: report }), {
      existing: { artifacts: "mine", logs: { project: "p", store: "s" }, tables: "t" },
    });
    for (const type of ["Bucket", "Project", "Store", "Instance"]) expect(ofType(resources, type)).toEqual([]);
    expect(inputsOf(resources, "V3Function", "reports-task-work")).toMatchObject({
      code: { ossBucketName: "mine" },
      logConfig: { project: "p", logstore: "s" },
    });
  });
});
