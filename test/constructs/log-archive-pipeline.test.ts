import { expect, test } from "vitest";
import { LogArchivePipeline, type LogArchivePipelineArgs } from "../../lib/constructs/log-archive-pipeline.ts";
import type { ApplicationModule } from "../../lib/handlers/archive/user-code.ts";
import { Construct, type ConstructArgs } from "../../lib/parts/construct.ts";
import { code, every } from "../../lib/parts/index.ts";
import type { Bucket, Secret, Stream } from "../../lib/parts/part.ts";
import { formatProblem, type ProblemsError } from "../../lib/shared/problem.ts";
import { graphOf, recordingCloud } from "../recording.ts";

/** What a user has already. */
class Shop extends Construct {
  readonly lines: Stream;
  readonly store: Bucket;
  readonly user: Secret;

  constructor(name: string, args: ConstructArgs) {
    super("Shop", name, args);
    this.lines = this.stream("lines", { partitions: 3 });
    this.store = this.bucket("store");
    this.user = this.secret("user", { existing: "redis-user" });
    this.build();
  }
}

const cloudOf = () => recordingCloud("local");

test("the graph with everything by default", () => {
  const cloud = cloudOf();
  new LogArchivePipeline("logs", { cloud });
  expect(graphOf(cloud)).toMatchInlineSnapshot(`
    [
      "stream logs-lines",
      "bucket logs-archive",
      "volume logs-files",
      "table logs-slots",
      "function logs-append | archive/append | on stream.consumed logs-lines by 1000 | slots: table.read, table.write logs-slots | volume: volume.read, volume.write logs-files",
      "schedule logs-upload-schedule | every 300 s",
      "function logs-upload | archive/upload | on schedule.fired logs-upload-schedule | slots: table.read, table.write logs-slots | volume: volume.read, volume.write logs-files | bucket: bucket.read, bucket.write logs-archive",
      "monitor logs-alarms | logs-append failures > 0 | logs-append lag > 100000 | logs-upload failures > 0",
    ]
  `);
  expect(cloud.parts.get("logs-append")?.plan).toMatchObject({
    settings: {
      application: { path: ["app"] },
      files: 10,
      seal: { size: 64 * 2 ** 20, age: 600_000 },
      compression: { codec: "gzip", level: 2 },
    },
    timeout: 300,
    memory: 2 ** 30,
    cpu: 1,
  });
  // Nothing is set aside: a batch is given again until it is archived.
  expect(cloud.parts.get("logs-append")?.plan).not.toHaveProperty("failures");
});

test("a stream and a bucket that are there, code, and locks of a Redis", () => {
  const cloud = cloudOf();
  const shop = new Shop("shop", { cloud });
  new LogArchivePipeline("logs", {
    cloud,
    from: shop.lines,
    to: shop.store,
    prefix: "logs/",
    application: code<ApplicationModule>("/app/application.ts"),
    files: 4,
    seal: { size: "1 MB", age: "1 minute" },
    upload: every("1 minute"),
    compression: { codec: "zstd", level: 3 },
    lock: { redis: "rediss://cache.example.com:6379/2", user: shop.user },
    notify: "nobody",
  });
  expect(graphOf(cloud).filter((line) => !line.includes(" shop-"))).toMatchInlineSnapshot(`
    [
      "volume logs-files",
      "table logs-slots",
      "schedule logs-upload-schedule | every 60 s",
      "monitor logs-alarms",
    ]
  `);
  expect(graphOf(cloud).filter((line) => line.startsWith("function"))).toMatchInlineSnapshot(`
    [
      "function logs-append | archive/append-under-redis | on stream.consumed shop-lines by 1000 | slots: table.read, table.write logs-slots | volume: volume.read, volume.write logs-files | user: secret.read shop-user",
      "function logs-upload | archive/upload | on schedule.fired logs-upload-schedule | slots: table.read, table.write logs-slots | volume: volume.read, volume.write logs-files | bucket: bucket.read, bucket.write shop-store",
    ]
  `);
  expect(cloud.parts.get("logs-append")?.plan).toMatchObject({
    code: { application: { file: "/app/application.ts" } },
    settings: {
      application: { code: true },
      compression: { codec: "zstd", level: 3 },
      redis: "rediss://cache.example.com:6379/2",
      space: "logs",
    },
  });
  expect(cloud.parts.get("logs-upload")?.plan).toMatchObject({
    settings: { seal: { size: 2 ** 20, age: 60_000 }, prefix: "logs/" },
  });
});

test("all that is wrong is told at once", () => {
  const wrong = {
    application: "labels..app",
    prefix: "/logs",
    files: 0,
    batch: 20_000,
    lag: -1,
    seal: { size: "1 KB", age: "2 hours" },
    compression: { codec: "lz4", level: 3 },
    lock: { redis: "redis://me:secret@cache:6379" },
    retries: 3,
  } as unknown as LogArchivePipelineArgs;
  try {
    new LogArchivePipeline("logs", { cloud: cloudOf(), ...wrong });
    expect.unreachable();
  } catch (error) {
    expect((error as ProblemsError).problems?.map(formatProblem)).toMatchInlineSnapshot(`
      [
        "logs.retries: there is no such option",
        "logs.application: it says where a record names its application (given "labels..app"; allowed: "labels.app", { header: "app" } or code(…))",
        "logs.prefix: a prefix of keys has no slash at its start, no . or .. as folders, no backslash or control character (given "/logs"; allowed: such as "logs/")",
        "logs.files: a whole number is wanted (given 0; allowed: 1 to 100)",
        "logs.batch: a whole number is wanted (given 20000; allowed: 1 to 10000)",
        "logs.lag: a whole number is wanted (given -1; allowed: 0 or more)",
        "logs.seal.size: a file has some size (given "1 KB"; allowed: "64 KB" to "5 GB")",
        "logs.seal.age: a file has nothing of two hours (given "2 hours"; allowed: "1 second" to "1 hour")",
        "logs.lock.redis: it says where a Redis is, and not who connects: that lies in a secret, lock.user (given "redis://me:secret@cache:6379"; allowed: "redis://host:6379", "rediss://host:6379/0")",
        "logs-append.compression: outside what Local allows (given "lz4"; allowed: gzip, zstd)",
      ]
    `);
  }
  expect(() => new LogArchivePipeline("logs", { cloud: cloudOf(), compression: { level: 12 } })).toThrow(
    /logs.compression.level: a whole number is wanted \(given 12; allowed: 1 to 9\)/,
  );
});

test.each(["alicloud", "aws", "kubernetes", "local"] as const)("%s is asked whether its Node has zstd", (kind) => {
  const make = (codec: "gzip" | "zstd") => {
    const kafka = { brokers: ["kafka.example.com:9092"], instance: "kafka-1" };
    new LogArchivePipeline("logs", { cloud: recordingCloud(kind), kafka, compression: { codec }, notify: "nobody" });
  };
  expect(() => make("gzip")).not.toThrow();
  if (kind !== "alicloud") return expect(() => make("zstd")).not.toThrow();
  expect(() => make("zstd")).toThrow(
    'logs-append.compression: outside what Alibaba Cloud allows: what its Node has: 20 has no zstd (given "zstd"; allowed: gzip)',
  );
});
