import { describe, expect, it } from "vitest";
import { MillraceError } from "../../lib/runtime/errors.ts";
import type { Handler } from "../../lib/runtime/handler.ts";
import { serve, toJson, type World } from "../../lib/runtime/serve.ts";

const world = (signal = new AbortController().signal) => ({ signal, scratch: "/scratch" }) as unknown as World;
const events = [{ id: "a" }, { id: "b" }, { id: "c" }];
const definition = (handler: unknown) => ({
  handler: handler as Handler<never, never, never, unknown, never>,
  code: { user: { x: 1 } },
  settings: { y: 2 },
});

describe("serve", () => {
  it("answers for each event by itself, in order", async () => {
    const handler = async ({ id }: { id: string }) => {
      if (id === "b") throw new MillraceError("bad-input", "not b");
      return { id };
    };
    expect(await serve(definition(handler), events, () => world())).toEqual({
      results: ['{"id":"a"}', undefined, '{"id":"c"}'],
      failures: [{ id: "b", error: expect.objectContaining({ kind: "bad-input", message: "not b" }) }],
    });
  });

  it("gives the handler the world of its event, its settings and the user's code", async () => {
    const handler = async (event: { id: string }, context: object) => ({ event, context });
    const served = await serve(definition(handler), [events[0]!], ({ id }) => ({ ...world(), scratch: `/${id}` }));
    expect(JSON.parse(served.results[0]!)).toMatchObject({
      event: { id: "a" },
      context: { scratch: "/a", settings: { y: 2 }, code: { user: { x: 1 } } },
    });
  });

  it("does not begin with the rest once the signal has aborted", async () => {
    const controller = new AbortController();
    const seen: string[] = [];
    const handler = async ({ id }: { id: string }) => {
      seen.push(id);
      controller.abort(new MillraceError("timed-out", "too long"));
      return id;
    };
    const served = await serve(definition(handler), events, () => world(controller.signal));
    expect(seen).toEqual(["a"]);
    expect(served.results).toEqual(['"a"', undefined, undefined]);
    expect(served.failures).toMatchObject([
      { id: "b", error: { kind: "timed-out" } },
      { id: "c", error: { kind: "timed-out" } },
    ]);
  });

  it("survives handlers that throw nothing, or at once", async () => {
    for (const handler of [
      async () => Promise.reject(undefined),
      () => {
        throw null;
      },
    ]) {
      const served = await serve(definition(handler), [events[0]!], () => world());
      expect(served.failures).toMatchObject([{ id: "a", error: { kind: "failed" } }]);
    }
  });
});

describe("a result", () => {
  it("is JSON; nothing is null, and what JSON leaves out is left out", () => {
    expect(toJson(undefined)).toBe("null");
    expect(toJson({ a: undefined, b: new Date(0), c: [1, "x"] })).toBe('{"b":"1970-01-01T00:00:00.000Z","c":[1,"x"]}');
  });

  it.each([
    [() => 1, "it is a function"],
    [{ size: 3n }, '"size" is a bigint (3n)'],
    [{ bytes: Buffer.from("x") }, '"bytes" is bytes; put them into a bucket'],
    [{ deep: { frames: new Map() } }, '"frames" is a Map'],
    [{ list: [Promise.resolve()] }, '"0" is a promise; await it'],
    [Symbol("s"), "it is a symbol"],
  ])("that is no JSON is refused in words: %o", (value, words) => {
    expect(() => toJson(value)).toThrow(`the handler's result must be plain JSON: ${words}`);
  });

  it("that refers to itself is refused", () => {
    const loop: Record<string, unknown> = {};
    loop.self = loop;
    expect(() => toJson(loop)).toThrow(/circular/);
  });
});
