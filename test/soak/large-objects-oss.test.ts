import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { expect, test } from "vitest";
import { port } from "../../lib/clouds/alicloud/runtime/oss.ts";
import { systemClock } from "../../lib/runtime/clock.ts";
import { FakeOss } from "../clouds/alicloud/fakes/oss.ts";
import { KEYS } from "../clouds/alicloud/fakes/server.ts";

const MIB = 2 ** 20;
/** More than one request can take. https://www.alibabacloud.com/help/en/oss/user-guide/simple-upload */
const SIZE = 5 * 2 ** 30 + 12_345;
/** What may be added to the process, service included: some parts of 8 MiB on either side, and what is not collected yet. */
const ROOM = 512 * MIB;

test("an object of more than 5 GiB goes into OSS as a stream, in parts, in the same memory", async () => {
  const fake = new FakeOss("large", { keepsBytes: false });
  const endpoint = await fake.server.start();
  const files = await mkdtemp(join(tmpdir(), "millrace-large-"));
  const before = process.memoryUsage.rss();
  let most = before;
  const looking = setInterval(() => {
    most = Math.max(most, process.memoryUsage.rss());
  }, 50);
  try {
    const bucket = port(
      { kind: "bucket", part: "large", bucket: "large", region: "cn-hangzhou", endpoint },
      {
        signal: new AbortController().signal,
        clock: systemClock,
        log: { debug() {}, info() {}, warn() {}, error() {} },
        files,
        credentials: () => KEYS,
      },
    );
    const info = await bucket.put("large", Readable.from(content(), { objectMode: false }));
    expect(info.size).toBe(SIZE);
    expect(info.etag).toMatch(/-641$/);
    expect(await bucket.head("large")).toMatchObject({ size: SIZE, etag: info.etag });
    const sent = fake.server.requests.filter(({ query }) => query.partNumber !== undefined);
    expect(sent).toHaveLength(641);
    expect(sent.every(({ headers }) => Number(headers["content-length"]) <= 8 * MIB)).toBe(true);
    expect(most - before).toBeLessThan(ROOM);
  } finally {
    clearInterval(looking);
    await fake.server.close();
    await rm(files, { recursive: true, force: true });
  }
});

async function* content() {
  const block = randomBytes(MIB);
  for (let sent = 0; sent < SIZE; sent += MIB) yield block.subarray(0, Math.min(MIB, SIZE - sent));
}
