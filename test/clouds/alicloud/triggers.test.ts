import { describe, expect, test } from "vitest";
import { alicloud } from "../../../lib/clouds/alicloud/index.ts";
import { type Bucket, type Cloud, Construct, code, created } from "../../../lib/parts/index.ts";
import { synthesize } from "../../../lib/testing/synthesize.ts";
import { ACCOUNT, REGION } from "./stack.ts";

const echo = code<{ handler: (event: unknown, context: unknown) => Promise<unknown> }>(
  new URL("./functions/echo.ts", import.meta.url),
);

interface Keys {
  readonly prefix?: string;
  readonly suffix?: string;
}

/** Functions that hear of a bucket's objects, each of some. */
class Hearing extends Construct {
  readonly store: Bucket;

  constructor(name: string, cloud: Cloud, keys: readonly Keys[], store?: Bucket) {
    super("Hearing", name, { cloud });
    this.store = store ?? this.bucket("store");
    for (const [index, filter] of keys.entries())
      this.function(`f${index}`, { handler: echo, when: created(this.store, filter) } as never);
    this.build();
  }
}

async function problemsOf(declare: (cloud: Cloud) => unknown) {
  const { problems } = await synthesize(() => declare(alicloud({ region: REGION, account: ACCOUNT })));
  return problems;
}

const prefixes = (count: number, from = 0): readonly Keys[] =>
  Array.from({ length: count }, (_, n) => ({ prefix: `${String.fromCharCode(97 + from + n)}/` }));

describe("triggers of one bucket", () => {
  test("ten, and not one more, whichever construct they are in", async () => {
    expect(await problemsOf((cloud) => new Hearing("ten", cloud, prefixes(10)))).toEqual([]);
    const two = (cloud: Cloud) => {
      const { store } = new Hearing("first", cloud, prefixes(8));
      new Hearing("second", cloud, prefixes(3, 8), store);
      new Hearing("third", cloud, prefixes(3));
    };
    expect(await problemsOf(two)).toEqual([
      {
        path: "second-f2.when",
        message: expect.stringMatching(/^bucket "first-store" has as many OSS triggers as it takes/),
        given: 11,
        allowed: expect.stringMatching(/^at most 10: /),
      },
    ]);
  });

  test.each<readonly [Keys, Keys]>([
    [{}, {}],
    [{}, { prefix: "in/", suffix: ".mp4" }],
    [{ prefix: "in/" }, { prefix: "in/videos/" }],
    [{ suffix: ".gz" }, { suffix: ".tar.gz" }],
    [{ prefix: "in/" }, { suffix: ".mp4" }],
    [
      { prefix: "in/videos/", suffix: ".gz" },
      { prefix: "in/", suffix: ".tar.gz" },
    ],
  ])("two that hear of the same keys are refused: %j and %j", async (one, other) => {
    expect(await problemsOf((cloud) => new Hearing("both", cloud, [one, other]))).toMatchObject([
      { path: "both-f1.when", message: /^"both-f0" hears of keys ".*" of bucket "both-store" already/ },
    ]);
    expect(await problemsOf((cloud) => new Hearing("both", cloud, [other, one]))).toHaveLength(1);
  });

  test.each<readonly [Keys, Keys]>([
    [{ prefix: "in/" }, { prefix: "out/" }],
    [{ suffix: ".mp4" }, { suffix: ".mov" }],
    [
      { prefix: "in/", suffix: ".mp4" },
      { prefix: "in/", suffix: ".mov" },
    ],
    [
      { prefix: "in/", suffix: ".mp4" },
      { prefix: "out/", suffix: ".mp4" },
    ],
  ])("two that hear of others are not: %j and %j", async (one, other) => {
    expect(await problemsOf((cloud) => new Hearing("both", cloud, [one, other]))).toEqual([]);
  });

  test("buckets have nothing to do with each other", async () => {
    const apart = (cloud: Cloud) => [new Hearing("one", cloud, [{}]), new Hearing("other", cloud, [{}])];
    expect(await problemsOf(apart)).toEqual([]);
  });
});
