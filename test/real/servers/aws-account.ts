import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll } from "vitest";
import type { AwsWorld } from "../../../lib/clouds/aws/runtime/account.ts";
import { systemClock } from "../../../lib/runtime/clock.ts";
import type { Log } from "../../../lib/runtime/handler.ts";
import { type MotoServer, startMoto } from "./moto.ts";

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** An AWS account for the tests of one file: it is there from the first to the last of them. */
export function awsAccount() {
  let server: MotoServer | undefined;
  let made = 0;
  beforeAll(async () => {
    server = await startMoto();
  });
  afterAll(() => server?.stop());
  const moto = (): MotoServer => server!;
  return {
    moto,
    /** A name that no test before had. */
    fresh: (kind: string): string => {
      made += 1;
      return `${kind}-${made}`;
    },
    /** What a client of the SDK wants. */
    account: () => ({ region: moto().region, endpoint: moto().url, credentials: moto().credentials }),
    /** What a port wants, with a folder that goes when it closes. */
    async around() {
      const files = await mkdtemp(join(tmpdir(), "millrace-aws-"));
      const world: AwsWorld = {
        signal: new AbortController().signal,
        clock: systemClock,
        log: silent,
        files,
        credentials: async () => moto().credentials,
      };
      return {
        world,
        advance: (seconds: number) => sleep(seconds * 1000),
        close: () => rm(files, { recursive: true, force: true }),
      };
    },
  };
}
