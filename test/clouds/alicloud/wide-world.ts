import { tmpdir } from "node:os";
import {
  chunkDefinitions,
  type FlowWorld,
  flowDefinition,
} from "../../../lib/clouds/alicloud/deploy/flow-definition.ts";
import type { WideMap } from "../../../lib/clouds/alicloud/deploy/flow-estimate.ts";
import type { FlowDefinition } from "../../../lib/clouds/alicloud/deploy/flow-states.ts";
import type { AlicloudWorld } from "../../../lib/clouds/alicloud/runtime/account.ts";
import { type Batches, batchesOf } from "../../../lib/clouds/alicloud/runtime/batches.ts";
import { callbacksOf, rowsOf } from "../../../lib/clouds/alicloud/runtime/callbacks.ts";
import { port as keeperPort } from "../../../lib/clouds/alicloud/runtime/flow-keeper.ts";
import { doStep, toStepCall } from "../../../lib/clouds/alicloud/runtime/step.ts";
import { port as workflowPort } from "../../../lib/clouds/alicloud/runtime/workflow.ts";
import { handler as ask } from "../../../lib/handlers/flows/ask.ts";
import { handler as batch } from "../../../lib/handlers/flows/batch.ts";
import { handler as next } from "../../../lib/handlers/flows/next.ts";
import { type Clock, systemClock } from "../../../lib/runtime/clock.ts";
import { DeployedFunction } from "../../../lib/runtime/deployed.ts";
import type { LinkAddress } from "../../../lib/runtime/deployment.ts";
import { toErrorRecord } from "../../../lib/runtime/errors.ts";
import type { Handler, Log } from "../../../lib/runtime/handler.ts";
import { type StepAnswer, type StepCall, stepFailed, stepSucceeded } from "../../../lib/runtime/workflows/step-call.ts";
import { type DefinitionCase, FUNCTIONS, type FunctionName, type StepFunction } from "../../workflows/definitions.ts";
import { FakeFnf } from "./fakes/fnf.ts";
import { KEYS } from "./fakes/server.ts";
import { FakeTablestore } from "./fakes/tablestore.ts";
import { FlowError } from "./fdl-interpreter.ts";

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

export interface WideOptions {
  readonly maps: ReadonlyMap<string, WideMap>;
  /** Seconds that a run may take. @default 3,600 */
  readonly timeout?: number;
  /** What is done before a function is called; it may throw. @default nothing */
  readonly before?: (name: string, call: StepCall) => unknown;
}

/** A workflow with wide maps on the fakes: flows, the table, and the functions of ours that do and keep batches. */
export async function wideWorld(one: Omit<DefinitionCase, "name" | "expected">, options: WideOptions) {
  let skipped = 0;
  const clock: Clock = {
    now: () => systemClock.now() + skipped,
    at: (time, run) => systemClock.at(time - skipped, run),
  };
  const world: AlicloudWorld = {
    signal: new AbortController().signal,
    clock,
    log: silent,
    files: tmpdir(),
    credentials: () => KEYS,
  };
  const compiled = flowsOf(one, options);
  const calls = new Map<string, number>();
  const begun: string[] = [];
  const tablestore = new FakeTablestore();
  const callOf = async (name: FunctionName, call: StepCall): Promise<StepAnswer> => {
    calls.set(name, (calls.get(name) ?? 0) + 1);
    try {
      const result = (FUNCTIONS[name] as StepFunction)(call.input as never, call.attempt);
      return stepSucceeded(call, JSON.stringify(result ?? null));
    } catch (error) {
      return stepFailed(call, error);
    }
  };
  const answered = new Set<string>();
  const asked = {
    queue: "questions",
    send: async (body: string) => {
      const { callback } = JSON.parse(body) as { callback: string };
      const step = callback.split("/").at(-1)!.replace(/~\d+$/, "");
      // Before the function that asks has come to its end, as it may be.
      if (!answered.has(callback)) await callbacks.answer(callback, one.answers![step]!);
      answered.add(callback);
      return callback;
    },
  };
  const fnf = new FakeFnf(compiled, {
    wait: (seconds) => {
      skipped += seconds * 1000;
    },
    invoke: async (arn, body) => {
      const call = toStepCall(body)!;
      const name = arn.split("/").at(-1)!;
      const platform = { id: "request", deadline: clock.now() + 60_000 };
      try {
        await options.before?.(name, call);
        if (name === "$next") return await deployed(next as never, {}, clock).step(call, platform);
        if (name === "$batch")
          return await deployed(batch as never, { batches: state.batches }, clock).step(call, platform);
        if (name.startsWith("$ask-"))
          return await deployed(ask as never, { asked, callbacks }, clock).step(call, platform);
        if (name.startsWith("$task-")) {
          begun.push(call.step);
          const { id, input } = call.input as { id: string; input: unknown };
          const answer = await callOf(one.tasks![name.slice("$task-".length)]!, { ...call, input: { id, input } });
          return answer.status === "succeeded"
            ? { ...answer, output: { state: "succeeded", result: answer.output } }
            : { status: "succeeded", output: { state: "failed", error: answer.error } };
        }
        return await doStep(body, call, () => {
          begun.push(call.step);
          return callOf(name as FunctionName, call);
        });
      } catch (error) {
        throw new FlowError("FC.HandledInvocationError", toErrorRecord(error).message);
      }
    },
  });
  const [flowEndpoint, tableEndpoint] = await Promise.all([fnf.server.start(), tablestore.server.start()]);
  const chunks = [...options.maps.keys()].map((map) => `flow-${map}`).join(",");
  const address: LinkAddress = {
    ...{ kind: "workflow", part: "w", flow: "flow", region: "cn-hangzhou", timeout: String(options.timeout ?? 3600) },
    ...{ steps: "each", chunks, table: "callbacks", instance: "i", flowEndpoint, tableEndpoint },
  };
  const callbacks = await callbacksOf(address, world);
  const state: { batches: Batches } = { batches: await batchesOf(address, world) };
  return {
    ...{ fnf, tablestore, calls, begun, clock, state },
    rows: await rowsOf(address, world),
    runs: workflowPort(address, world),
    keeper: keeperPort(address, world),
    skip: (seconds: number) => {
      skipped += seconds * 1000;
      fnf.server.advance(seconds);
    },
    close: async () => {
      await Promise.all([fnf.server.close(), tablestore.server.close()]);
    },
  };
}

/** All flows of a workflow, as the service gets them. */
export function flowsOf(
  { definition }: Pick<DefinitionCase, "definition">,
  { maps }: WideOptions,
): readonly FlowDefinition[] {
  const target = (part: string) => ({ arn: `acs:fc:r:1:functions/${part}`, timeout: 60 });
  const world: FlowWorld = {
    name: "flow",
    function: target,
    next: target("$next"),
    task: (part) => target(`$task-${part}`),
    ask: (kind, part) => target(`$ask-${kind}-${part}`),
    wide: { maps, flow: (map) => `flow-${map}`, batches: target("$batch") },
  };
  const flows = [flowDefinition(definition, world), ...chunkDefinitions(definition, world).values()];
  return JSON.parse(JSON.stringify(flows)) as readonly FlowDefinition[];
}

/** A function behind the real entry part, with what it is linked to. */
function deployed(handler: Handler<never>, links: Readonly<Record<string, object>>, clock: Clock) {
  const ports = Object.entries(links).map(([name, port]) => [name, async () => ({ port: () => port })] as const);
  const linked = Object.keys(links).map((name) => [name, { kind: "function", part: name }] as const);
  return new DeployedFunction({
    deployment: { handler: handler as never, code: {}, settings: {}, ports: Object.fromEntries(ports) },
    environment: { place: {}, logLevel: "error", tools: {}, sources: {}, links: Object.fromEntries(linked) },
    world: (plain) => plain,
    clock,
    write: () => {},
  });
}
