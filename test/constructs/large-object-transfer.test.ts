import { expect, test } from "vitest";
import { LargeObjectTransfer, type LargeObjectTransferArgs } from "../../lib/constructs/large-object-transfer.ts";
import { Construct, type ConstructArgs } from "../../lib/parts/construct.ts";
import { every, received } from "../../lib/parts/index.ts";
import type { Bucket, Queue, Secret } from "../../lib/parts/part.ts";
import type { WorkflowPlan } from "../../lib/parts/plan.ts";
import { formatProblem, ProblemsError } from "../../lib/shared/problem.ts";
import { graphOf, recordingCloud } from "../recording.ts";

/** A user's own, in a construct of its own. */
class Store extends Construct {
  readonly videos: Bucket;
  readonly orders: Queue;
  readonly keys: Secret;

  constructor(name: string, args: ConstructArgs) {
    super("Store", name, args);
    this.videos = this.bucket("videos");
    this.orders = this.queue("orders");
    this.keys = this.secret("keys", { existing: "the-keys" });
    this.build();
  }
}

test("the graph with everything by default", () => {
  const cloud = recordingCloud();
  new LargeObjectTransfer("move", { cloud });
  expect(graphOf(cloud)).toMatchInlineSnapshot(`
    [
      "bucket move-from",
      "bucket move-to",
      "bucket move-state",
      "function move-plan | transfer/plan | from: bucket.read move-from | to: bucket.read, bucket.write move-to | state: bucket.read, bucket.write move-state",
      "function move-copy | transfer/copy | from: bucket.read move-from | to: bucket.read, bucket.write move-to | state: bucket.read, bucket.write move-state",
      "function move-commit | transfer/commit | from: bucket.read move-from | to: bucket.read, bucket.write move-to | state: bucket.read, bucket.write move-state",
      "workflow move-flow",
      "monitor move-alarms | move-flow failures > 0",
    ]
  `);
  expect(cloud.parts.get("move-copy")?.plan).toMatchObject({
    settings: { overwrites: "older", workers: 32, piece: 16 * 2 ** 20, toPrefix: "", buffer: 2 ** 28 },
    timeout: 600,
    memory: 2 ** 30,
    cpu: 1,
  });
  expect(cloud.parts.get("move-state")?.plan).toMatchObject({ expires: 7 * 86_400, removable: true });
});

test("the steps carry numbers and the run's id, nothing of the lists", () => {
  const cloud = recordingCloud();
  new LargeObjectTransfer("move", { cloud, workers: 8, attempts: 3 });
  const { definition } = cloud.parts.get("move-flow")!.plan as WorkflowPlan;
  expect(definition).toMatchInlineSnapshot(`
    {
      "output": {
        "$": "step:outcome",
      },
      "steps": [
        {
          "attempts": 3,
          "backoff": {
            "factor": 2,
            "first": 1,
            "longest": 300,
          },
          "function": "move-plan",
          "input": {
            "request": {
              "$": "input",
            },
            "run": {
              "$": "run",
            },
          },
          "name": "plan",
          "type": "function",
        },
        {
          "atMost": 8,
          "attempts": 1,
          "backoff": {
            "factor": 2,
            "first": 1,
            "longest": 300,
          },
          "collects": false,
          "concurrency": 8,
          "item": {
            "output": {},
            "steps": [
              {
                "attempts": 3,
                "backoff": {
                  "factor": 2,
                  "first": 1,
                  "longest": 300,
                },
                "function": "move-copy",
                "input": {
                  "group": {
                    "$": "item:groups",
                    "at": [
                      "group",
                    ],
                  },
                  "run": {
                    "$": "run",
                  },
                },
                "name": "copy",
                "type": "function",
              },
            ],
          },
          "items": {
            "$": "step:plan",
            "at": [
              "groups",
            ],
          },
          "name": "groups",
          "tolerated": 0,
          "type": "map",
        },
        {
          "attempts": 3,
          "backoff": {
            "factor": 2,
            "first": 1,
            "longest": 300,
          },
          "function": "move-commit",
          "input": {
            "run": {
              "$": "run",
            },
          },
          "name": "commit",
          "type": "function",
        },
        {
          "name": "outcome",
          "options": [
            {
              "block": {
                "output": {
                  "$": "step:changed",
                },
                "steps": [
                  {
                    "kind": "conflict",
                    "message": {
                      "$": "step:commit",
                      "at": [
                        "message",
                      ],
                    },
                    "name": "changed",
                    "type": "fail",
                  },
                ],
              },
              "if": {
                "left": {
                  "$": "step:commit",
                  "at": [
                    "outcome",
                  ],
                },
                "op": "equals",
                "right": "conflict",
              },
            },
            {
              "block": {
                "output": {
                  "$": "step:gone",
                },
                "steps": [
                  {
                    "kind": "not-found",
                    "message": {
                      "$": "step:commit",
                      "at": [
                        "message",
                      ],
                    },
                    "name": "gone",
                    "type": "fail",
                  },
                ],
              },
              "if": {
                "left": {
                  "$": "step:commit",
                  "at": [
                    "outcome",
                  ],
                },
                "op": "equals",
                "right": "not-found",
              },
            },
            {
              "block": {
                "output": {
                  "$": "step:refused",
                },
                "steps": [
                  {
                    "kind": "bad-input",
                    "message": {
                      "$": "step:commit",
                      "at": [
                        "message",
                      ],
                    },
                    "name": "refused",
                    "type": "fail",
                  },
                ],
              },
              "if": {
                "left": {
                  "$": "step:commit",
                  "at": [
                    "outcome",
                  ],
                },
                "op": "equals",
                "right": "bad-input",
              },
            },
            {
              "block": {
                "output": {
                  "$": "step:damaged",
                },
                "steps": [
                  {
                    "kind": "failed",
                    "message": {
                      "$": "step:commit",
                      "at": [
                        "message",
                      ],
                    },
                    "name": "damaged",
                    "type": "fail",
                  },
                ],
              },
              "if": {
                "left": {
                  "$": "step:commit",
                  "at": [
                    "outcome",
                  ],
                },
                "op": "equals",
                "right": "failed",
              },
            },
          ],
          "otherwise": {
            "output": {
              "bytes": {
                "$": "step:commit",
                "at": [
                  "bytes",
                ],
              },
              "kept": {
                "$": "step:commit",
                "at": [
                  "kept",
                ],
              },
              "objects": {
                "$": "step:commit",
                "at": [
                  "objects",
                ],
              },
            },
            "steps": [],
          },
          "type": "choice",
        },
      ],
    }
  `);
});

test("what starts it, and buckets a user has", () => {
  const cloud = recordingCloud();
  const store = new Store("store", { cloud });
  new LargeObjectTransfer("move", {
    cloud,
    from: store.videos,
    prefix: "in/",
    when: ["upload", every("1 day"), received(store.orders)],
  });
  expect(graphOf(cloud).filter((line) => /start/.test(line))).toMatchInlineSnapshot(`
    [
      "schedule move-start-schedule-2 | every 86400 s",
      "function move-start | transfer/start | on bucket.created store-videos in/* | on schedule.fired move-start-schedule-2 | on queue.received store-orders by 1 | flow: workflow.start move-flow",
    ]
  `);
  expect(cloud.parts.get("move-start")?.plan).toMatchObject({ settings: { prefix: "in/" } });
});

test("buckets of other clouds are reached by keys", () => {
  const here = recordingCloud("aws", { region: "eu-west-1" });
  const there = recordingCloud("alicloud", { region: "cn-shanghai" });
  const keys = new Store("keys", { cloud: here });
  const store = new Store("store", { cloud: there });
  new LargeObjectTransfer("move", { cloud: here, to: store.videos, toKeys: keys.keys });
  expect(here.parts.get("move-copy")?.plan).toMatchObject({
    links: { to: { part: "store-videos", keys: "keys-keys", cloud: there.plan.name } },
  });
  expect(() => new LargeObjectTransfer("other", { cloud: here, to: store.videos })).toThrow(
    /does not reach this bucket/,
  );
});

test("the same graph on every cloud", () => {
  const graphs = (["local", "aws"] as const).map((kind) => {
    const cloud = recordingCloud(kind);
    new LargeObjectTransfer("move", { cloud, when: "upload" });
    return graphOf(cloud);
  });
  for (const graph of graphs) expect(graph).toEqual(graphs[0]);
});

const problemsOf = (args: object): readonly string[] => {
  try {
    new LargeObjectTransfer("move", { cloud: recordingCloud(), ...args } as LargeObjectTransferArgs);
  } catch (error) {
    if (error instanceof ProblemsError) return error.problems.map(formatProblem);
    throw error;
  }
  return [];
};

test.each([
  [{ overwrites: "newer" }, /move\.overwrites: there is no such choice.*older, always, never/],
  [{ workers: 0 }, /move\.workers: a whole number is wanted.*1 to 1000/],
  [{ piece: "1 MB" }, /move\.piece: .*"5 MB" to "256 MB"/],
  [{ piece: "512 MB" }, /move\.piece: .*"5 MB" to "256 MB"/],
  [{ prefix: "/in" }, /move\.prefix: a prefix of keys has no slash/],
  [{ toPrefix: "../out" }, /move\.toPrefix: a prefix of keys/],
  [{ when: "uploads" }, /move\.when: nothing starts a transfer so.*"upload"/],
  [{ worker: 3 }, /move\.worker: .*/],
  [{ timeout: "ten minutes" }, /move-copy\.timeout: /],
])("what cannot be is refused: %j", (args, problem) => {
  expect(problemsOf(args).join("\n")).toMatch(problem);
});

test("one bucket needs prefixes apart", () => {
  const cloud = recordingCloud();
  const { videos } = new Store("store", { cloud });
  const move = (name: string, args: object) =>
    new LargeObjectTransfer(name, { cloud, from: videos, to: videos, ...args } as LargeObjectTransferArgs);
  expect(() => move("one", {})).toThrow(/from and to are one bucket/);
  expect(() => move("two", { prefix: "in/", toPrefix: "in/" })).toThrow(/from and to are one bucket/);
  move("three", { prefix: "in/", toPrefix: "out/" });
});
