import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { connectLocal, type LocalClient } from "../clouds/local/client.ts";
import { startDev } from "../clouds/local/dev.ts";
import type { FaultRule } from "../clouds/local/host/faults.ts";
import type { DevEvent } from "../clouds/local/host/inspect.ts";
import type { UsedVerb } from "../clouds/local/host/permissions.ts";
import { VirtualClock } from "../clouds/local/host/virtual-clock.ts";
import type { CloudKind, Plan } from "../parts/plan.ts";
import { type Clock, systemClock } from "../runtime/clock.ts";
import type { Duration } from "../shared/duration.ts";

export interface StartLocalOptions {
  /** The program's first module: a URL or an absolute path. @default what Pulumi would run in `project` */
  readonly program?: URL | string;
  /** Where Pulumi.yaml lies. @default the working directory */
  readonly project?: string;
  /** @default "dev" */
  readonly stack?: string;
  /** Keeps the limits of this cloud. @default those of the cloud the program names */
  readonly as?: CloudKind;
  /** `virtual`: time stands still until `advance`. @default the machine's own time */
  readonly clock?: "system" | "virtual";
  /** Of everything random: order of delivery, jitter, faults. The same seed gives the same again. @default 1 */
  readonly seed?: number;
  /** Where everything lies: give the same one again to test a restart. @default a new folder, removed at the end */
  readonly folder?: string;
  /** Hears all that happens. @default nobody does */
  readonly onEvent?: (event: DevEvent) => void;
}

/** A local cloud under test: what users reach from outside, and the means to steer it. */
export interface LocalCloud extends LocalClient, AsyncDisposable {
  readonly declared: Plan;
  /** The folder it works in. */
  readonly folder: string;
  readonly clock: Clock;
  /** Puts a fault in; the answer takes it out. */
  fault(rule: FaultRule): () => void;
  /** Moves a virtual clock on, and waits for all that happens on the way. @throws with the machine's own clock */
  advance(duration: Duration): Promise<void>;
  /** Resolves once nothing is left to do now; what waits for its time stays, be it a handler on a virtual clock. */
  idle(): Promise<void>;
  /** What a function has made use of so far, of all it is permitted. */
  usedVerbs(functionName: string): readonly UsedVerb[];
  close(): Promise<void>;
}

/**
 * Runs a program's plan as `millrace dev` does, for a test.
 *
 * @example
 * await using cloud = await startLocal({ program: new URL("./index.ts", import.meta.url), clock: "virtual" });
 * cloud.fault({ at: "bucket.put", times: 1, error: "unavailable" });
 * const { id } = await cloud.tasks.submit("reports", { month: "2026-10", pages: 1 });
 * await cloud.idle();
 * await cloud.advance("5 minutes");
 * const run = await cloud.tasks.get("reports", id);
 */
export async function startLocal(options: StartLocalOptions = {}): Promise<LocalCloud> {
  const { program, project, stack, as, seed = 1, onEvent = () => {} } = options;
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), "millrace-")));
  const virtual = options.clock === "virtual" ? new VirtualClock() : undefined;
  const clock = virtual ?? systemClock;
  const session = await startDev({
    folder,
    watch: false,
    onEvent,
    host: { clock, seed },
    ...(program !== undefined && { program: program instanceof URL ? fileURLToPath(program) : program }),
    ...(project !== undefined && { project }),
    ...(stack !== undefined && { stack }),
    ...(as !== undefined && { as }),
  });
  const { host, url, token } = session;

  const close = async () => {
    await session.close();
    if (options.folder === undefined) await rm(folder, { recursive: true, force: true });
  };
  return {
    ...connectLocal({ url, token }),
    declared: session.plan,
    folder,
    clock,
    fault: (rule) => host.faults.add(rule),
    idle: () => host.idle(),
    async advance(duration) {
      if (!virtual) throw new Error('advance: only a virtual clock moves by hand; start with { clock: "virtual" }');
      await host.idle();
      await virtual.advance(duration);
      await host.idle();
    },
    usedVerbs: (name) => host.permissions.usedVerbs(name),
    close,
    [Symbol.asyncDispose]: close,
  };
}
