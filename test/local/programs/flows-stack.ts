import { local } from "../../../lib/clouds/local/index.ts";
import {
  AsyncTask,
  all,
  answer,
  Construct,
  type ConstructArgs,
  code,
  control,
  type FunctionPart,
  is,
  isAbove,
  type Queue,
  start,
  type TaskPart,
  type Workflow,
} from "../../../lib/index.ts";
import type { Item, Order } from "./flow-work.ts";
import { Inbox } from "./inbox.ts";

interface OrdersArgs extends ConstructArgs {
  readonly wrapping: TaskPart;
  readonly questions: Queue;
}

const FAST = { attempts: 2, backoff: { first: "1 second", longest: "1 second" } } as const;

/** Packs what was ordered, all at once; what the order asks for besides comes before or after. */
class Orders extends Construct {
  readonly flow: Workflow;

  constructor(name: string, { wrapping, questions, ...args }: OrdersArgs) {
    super("Orders", name, args);
    const work = this.function("work", {
      handler: code<typeof import("./flow-work.ts")>(new URL("./flow-work.ts", import.meta.url)),
      settings: { book: process.env.MILLRACE_TEST_BOOK ?? "/dev/null" },
      timeout: "30 seconds",
    }) as FunctionPart<unknown, never>;

    this.flow = this.workflow<Order>("flow", {
      timeout: "1 hour",
      steps: (flow, order) => {
        const { items } = flow.function("list", work as FunctionPart<unknown, { items: Item[] }>, {
          does: "list",
          order,
        });
        flow.choice(
          "pause",
          [{ if: isAbove(order.pause, 0), do: (inner) => inner.wait("rest", order.pause) }],
          () => ({}),
        );
        const packed = flow.map(
          "each",
          items,
          (inner, item) => inner.function("pack", work, { does: "pack", item }, FAST),
          {
            atMost: 10_000,
          },
        );
        flow.choice<unknown>(
          "wrapping",
          [
            {
              if: is(order.wrapped, true),
              do: (inner) => inner.task("wrap", wrapping, { id: flow.run, input: { number: 1 } }),
            },
          ],
          () => ({}),
        );
        flow.choice<unknown>(
          "stuck",
          [
            {
              if: isAbove(order.stuck, 0),
              do: (inner) =>
                inner.function(
                  "hang",
                  work,
                  { does: "hang", attempts: order.stuck },
                  { ...FAST, timeout: "2 seconds" },
                ),
            },
          ],
          () => ({}),
        );
        const approval = flow.choice<unknown>(
          "approval",
          [
            {
              if: is(order.approval, "queue"),
              do: (inner) => inner.callback("approve", questions, { order: flow.run }),
            },
            {
              if: is(order.approval, "function"),
              do: (inner) => inner.callback("ask-desk", work, { order: flow.run }),
            },
          ],
          () => ({}),
        );
        const bill = flow.function("bill", work, { does: "bill", items: packed });
        return { bill, approval };
      },
    });
    this.build();
  }
}

/** Starts, steers and answers orders, as the step of a workflow of its own. */
class Office extends Construct {
  constructor(name: string, { orders, ...args }: ConstructArgs & { readonly orders: Workflow }) {
    super("Office", name, args);
    const clerk = this.function("clerk", {
      handler: code<typeof import("./flow-clerk.ts")>(new URL("./flow-clerk.ts", import.meta.url)),
      links: { orders: all(start(orders), control(orders), answer(orders)) },
    });
    this.workflow<never>("desk", {
      steps: (flow, errand) => flow.function("clerk-step", clerk, errand, { attempts: 1 }),
    });
    this.build();
  }
}

const cloud = local();
const { runs } = new AsyncTask("wrap", {
  cloud,
  handler: code<typeof import("./count.ts")>(new URL("./count.ts", import.meta.url)),
});
const { messages } = new Inbox("questions", { cloud });
const { flow } = new Orders("orders", { cloud, wrapping: runs, questions: messages });
new Office("office", { cloud, orders: flow });

export const millrace = cloud.output;
