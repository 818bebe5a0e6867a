import { code } from "../../../lib/parts/code.ts";
import {
  answer,
  type Cloud,
  Construct,
  control,
  type Flow,
  type FunctionPart,
  type Queue,
  type Ref,
  start,
  type TaskPart,
} from "../../../lib/parts/index.ts";

const echo = code<{ handler: (event: unknown, context: unknown) => Promise<unknown> }>(
  new URL("./functions/echo.ts", import.meta.url),
);

export interface OrderParts {
  readonly work: FunctionPart<unknown, { readonly items: readonly { readonly n: number }[] }>;
  readonly other: FunctionPart<unknown, unknown>;
  readonly make: TaskPart;
  readonly questions: Queue;
}

/** A workflow with a function of each kind around it. */
export class Orders extends Construct {
  constructor(
    cloud: Cloud,
    steps: typeof everything = everything,
    more: { readonly work?: object; readonly alarms?: boolean } = {},
  ) {
    super("Orders", "orders", { cloud });
    const handler = { handler: echo };
    const work = this.function("work", { ...handler, timeout: "90 seconds", ...more.work } as never) as never;
    const other = this.function("other", handler as never) as never;
    const make = this.task("make", handler as never);
    const questions = this.queue("questions");
    const flow = this.workflow("flow", {
      steps: (flow, input) => steps(flow, input as never, { work, other, make, questions }) as never,
      timeout: "2 hours",
    });
    this.function("starts", { ...handler, links: { flow: start(flow) } } as never);
    this.function("steers", { ...handler, links: { flow: control(flow) } } as never);
    this.function("answers", { ...handler, links: { flow: answer(flow) } } as never);
    if (more.alarms) this.monitor("alarms", { alarms: [{ part: flow, metric: "failures", above: 0 }] });
    this.build();
  }
}

/** A step of every kind that is a pod, and a map. */
export function everything(flow: Flow, input: Ref<unknown>, { work, other, make, questions }: OrderParts): unknown {
  const { items } = flow.function("plan_it", work, input, { attempts: 3 });
  flow.forEach("each", items, (inner, item) => inner.function("one", other, item), { atMost: 10, concurrency: 2 });
  flow.task("made", make, { id: "order-1", input: {} });
  return flow.callback("asked", questions, { order: "order-1" });
}
