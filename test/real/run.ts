import { execFileSync, spawn } from "node:child_process";
import { createRequire } from "node:module";
import { constants as os } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { sourcesOfChosen } from "./chosen.ts";
import { findFfprobe, installFfmpeg } from "./install/ffmpeg.ts";
import { installKafka } from "./install/kafka.ts";
import { installEtcd, installKubeApiserver } from "./install/kubernetes.ts";
import { installMoto } from "./install/moto.ts";
import { installNats } from "./install/nats.ts";
import { installOldestNode } from "./install/oldest-node.ts";
import { installPulumi } from "./install/pulumi.ts";
import { installRedis } from "./install/redis.ts";
import { installVersitygw } from "./install/versitygw.ts";

/**
 * `npm run test:real`: gets what the tests of this folder need into `.cache/`, then runs them, and those of the video
 * handlers once more with a recent ffmpeg. Whoever sets one of the variables below names another one to use; arguments
 * go to vitest.
 */
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const ARGS = process.argv.slice(2);

/** In the order of their builds: the short ones first, the longest (6 minutes on two cores) last. */
const SERVERS = [
  { variable: "MILLRACE_MOTO_PYTHON", install: installMoto },
  { variable: "MILLRACE_REDIS", install: installRedis },
  { variable: "MILLRACE_KAFKA", install: installKafka },
  { variable: "MILLRACE_NATS_SERVER", install: installNats },
  { variable: "MILLRACE_VERSITYGW", install: installVersitygw },
  { variable: "MILLRACE_ETCD", install: installEtcd },
  { variable: "MILLRACE_PULUMI", install: installPulumi },
  { variable: "MILLRACE_KUBE_APISERVER", install: installKubeApiserver },
] as const;

const [ffmpeg, oldestNode, servers] = await Promise.all([installFfmpeg(), installOldestNode(), installServers()]);
const tools = { MILLRACE_FFMPEG: ffmpeg, MILLRACE_FFPROBE: findFfprobe(), MILLRACE_OLDEST_NODE: oldestNode };
for (const tool of [tools.MILLRACE_FFMPEG, tools.MILLRACE_FFPROBE])
  console.log(`${firstLine(tool, "-version")}\n  ${tool}`);
console.log(`Node ${firstLine(oldestNode, "--version")}\n  ${oldestNode}`);
process.exitCode = await runTests({ ...process.env, ...tools, ...servers });

/** Those that the chosen tests ask for: whoever runs one file does not wait for what it never starts. */
async function installServers(): Promise<Readonly<Record<string, string>>> {
  const sources = sourcesOfChosen(ROOT, ARGS);
  const wanted = SERVERS.filter(({ variable }) => sources.some((source) => source.includes(variable)));
  return Object.fromEntries(
    await Promise.all(wanted.map(async ({ variable, install }) => [variable, await install()] as const)),
  );
}

function firstLine(tool: string, flag: string): string {
  return execFileSync(tool, [flag], { encoding: "utf8" }).split("\n")[0]!;
}

function runTests(env: NodeJS.ProcessEnv): Promise<number> {
  const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");
  const args = [vitest, "run", "--config", "test/real/vitest.config.ts", ...ARGS];
  const child = spawn(process.execPath, args, { cwd: ROOT, env, stdio: "inherit" });
  process.on("SIGINT", () => {}); // the terminal tells vitest too; its exit code counts
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => resolve(signal ? 128 + os.signals[signal] : (code ?? 1)));
  });
}
