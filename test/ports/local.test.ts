import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Buckets } from "../../lib/clouds/local/host/buckets.ts";
import { Journal } from "../../lib/clouds/local/host/journal.ts";
import { Queues } from "../../lib/clouds/local/host/queues.ts";
import { Tables } from "../../lib/clouds/local/host/tables.ts";
import { VirtualClock } from "../../lib/clouds/local/host/virtual-clock.ts";
import { bucketPlan, queuePlan, tablePlan } from "../clouds/local/plans.ts";
import { testBucket, testQueue, testTable } from "./conformance.ts";
import { testUploads } from "./uploads-conformance.ts";

testBucket(bucketSubject);
testUploads(bucketSubject);

async function bucketSubject() {
  const { journal, clock, ...subject } = local();
  const buckets = new Buckets({ journal, clock, onCreated: () => {} });
  buckets.define(bucketPlan("media"));
  const bucket = { ...buckets.reader("media"), ...buckets.writer("media"), ...buckets.remover("media") };
  return { ...subject, bucket };
}

testQueue(async () => {
  const { journal, clock, ...subject } = local();
  const queues = new Queues({ journal, clock, random: Math.random, onSent: () => {} });
  queues.define(queuePlan("dead"));
  queues.define(queuePlan("work", { visibility: 30, attempts: 3, deadLetters: "dead" }));
  const queue = { ...queues.sender("work"), ...queues.receiver("work") };
  return { ...subject, queue, deadLetters: queues.receiver("dead"), visibility: 30, attempts: 3, deduplicates: true };
});

testTable(async () => {
  const { journal, clock, ...subject } = local();
  const tables = new Tables({ journal, clock });
  tables.define(tablePlan("state"));
  return { ...subject, table: { ...tables.reader("state"), ...tables.writer("state") }, now: () => clock.now() };
});

function local() {
  const folder = mkdtempSync(join(tmpdir(), "millrace-ports-"));
  const journal = new Journal(folder);
  const clock = new VirtualClock();
  return {
    journal,
    clock,
    advance: (seconds: number) => clock.advance(`${seconds} seconds`),
    async close() {
      journal.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
