import { performance } from "node:perf_hooks";
import type { Command } from "commander";
import type { CloudKind } from "../../parts/plan.ts";
import type { Cli } from "../cli.ts";
import { CLOUD_KINDS, DEFAULT_FOLDER, oneOf, parseWhole, withExamples, withJson } from "../options.ts";
import { DevView, renderReady } from "../render/dev.ts";

interface DevCommandOptions {
  readonly stack: string;
  readonly as?: CloudKind;
  readonly folder: string;
  readonly port?: number;
  readonly kafka?: string;
  readonly json?: true;
}

/** `millrace dev` */
export function addDev(program: Command, cli: Cli): void {
  const command = program
    .command("dev")
    .description("run a program on this computer until Ctrl-C; an edit is taken as soon as it is saved")
    .argument("[program]", "the program's first module (default: what Pulumi would run here)")
    .option("--stack <stack>", "whose configuration to use", "dev")
    .addOption(oneOf("--as <cloud>", "keep the limits of this cloud", CLOUD_KINDS))
    .option("--folder <folder>", "where the local cloud keeps everything", DEFAULT_FOLDER)
    .option("--port <port>", "where it answers (default: a free port)", parseWhole(0, 65_535))
    .option("--kafka <brokers>", "a real Kafka for the streams, as host:port (default: the local cloud keeps them)");
  withExamples(
    withJson(command),
    "millrace dev",
    "millrace dev stacks/index.ts --as alicloud --folder /tmp/millrace",
    "millrace dev --kafka localhost:9092",
  ).action(cli.action((file: string | undefined, options: DevCommandOptions) => dev(cli, file, options)));
}

async function dev(cli: Cli, program: string | undefined, { json, ...options }: DevCommandOptions): Promise<void> {
  const { terminal, signal } = cli;
  const view = new DevView(terminal, { isJson: json ?? false });
  const session = await cli.startDev({
    ...options,
    ...(program !== undefined && { program }),
    onEvent: (event) => view.tell(event),
  });
  // Since the process began: what the user has waited for.
  const milliseconds = Math.round(performance.now());
  if (json) terminal.print(JSON.stringify({ type: "ready", url: session.url, milliseconds, plan: session.plan }));
  else view.say(renderReady({ ...session, ...options, milliseconds, columns: terminal.columns }, terminal.colors));
  const interrupted = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
  try {
    await Promise.race([session.closed, interrupted]);
  } finally {
    view.end();
    if (signal.aborted) terminal.note("stopping; what runs goes on at the next start (Ctrl-C again: at once)");
    await session.close();
  }
}
