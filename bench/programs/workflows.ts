import { local } from "../../lib/clouds/local/index.ts";
import { Construct, type ConstructArgs, code, type Flow, type FunctionPart, type Ref } from "../../lib/index.ts";

interface Given {
  readonly number: number;
}

/** Ten steps one after the other, and one step for each item of a list. */
class Steps extends Construct {
  constructor(name: string, args: ConstructArgs) {
    super("Steps", name, args);
    const echo = this.function("echo", {
      handler: code<typeof import("./echo.ts")>(new URL("./echo.ts", import.meta.url)),
    }) as FunctionPart<Given, Given>;
    const next = (flow: Flow, step: number, given: Ref<Given>): Ref<Given> =>
      step === 10 ? given : next(flow, step + 1, flow.function(`step-${step}`, echo, given));
    this.workflow<Given>("chain", { steps: (flow, given) => next(flow, 0, given) });
    this.workflow<{ readonly items: readonly Given[] }>("items", {
      steps: (flow, { items }) =>
        flow.map("each", items, (each, item) => each.function("one", echo, item), { atMost: 10_000 }),
    });
    this.build();
  }
}

const cloud = local();
new Steps("steps", { cloud });

export const millrace = cloud.output;
