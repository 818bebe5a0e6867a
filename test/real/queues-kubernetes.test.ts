import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bury } from "../../lib/clouds/kubernetes/runtime/message.ts";
import { headersOf } from "../../lib/clouds/kubernetes/runtime/nats.ts";
import { pull } from "../../lib/clouds/kubernetes/runtime/pull.ts";
import { port as queuePort } from "../../lib/clouds/kubernetes/runtime/queue.ts";
import { receiveUntil, testQueue } from "../ports/conformance.ts";
import { NatsWorld } from "./nats-world.ts";

let around: NatsWorld;
beforeAll(async () => {
  around = await NatsWorld.start();
});
afterAll(() => around.stop());

/** Seconds: short, since the server's clock cannot be moved. */
const VISIBILITY = 2;

testQueue(async () => {
  const { queue: deadLetters, address } = await around.queue({ visibility: VISIBILITY });
  const { queue } = await around.queue({ visibility: VISIBILITY, attempts: 3, deadLetters: address.subject });
  const { advance } = around;
  return {
    queue,
    deadLetters,
    visibility: VISIBILITY,
    attempts: 3,
    deduplicates: true,
    advance,
    close: async () => {},
  };
});

describe("a queue of NATS", () => {
  const strange = Object.fromEntries([
    ["", "an empty name"],
    ["a: b\r\nNats-Msg-Id", "x\r\ny"],
    ["  spaces  ", "  "],
    ["猫🎬", "é\u0000\u007f"],
    ["__proto__", "p"],
    ["half", "\ud800"],
  ]);

  it("carries attributes of any name and value, and a body of any text", async () => {
    const { queue } = await around.queue();
    const body = "猫\r\nNATS/1.0\r\n\r\n\u0000";
    await queue.send(body, { attributes: strange });
    await queue.send("");
    await queue.send("later", { attributes: strange, delay: 0.5 });
    const messages = await receiveUntil(queue, 3);
    expect(messages.map((message) => message.body).sort()).toEqual(["", "later", body].sort());
    for (const message of messages.filter(({ body }) => body !== "")) expect(message.attributes).toEqual(strange);
  });

  it("shows the headers of whoever else sends as attributes", async () => {
    const { queue, address } = await around.queue();
    const headers = headersOf({ Colour: "blue", "Nats-Msg-Id": "1" });
    await jetstream(await around.nats()).publish(address.subject, "foreign", { headers });
    const [message] = await receiveUntil(queue, 1);
    expect(message).toMatchObject({ id: `${address.stream}-1`, body: "foreign", attributes: { Colour: "blue" } });
  });

  it("lets every message wait where the queue says so, and gives it once", async () => {
    const { address } = await around.queue();
    const queue = queuePort({ ...address, delay: "1" }, around.world);
    const id = await queue.send("later", { deduplication: "key" });
    expect(await queue.send("later", { deduplication: "key" })).toBe(id);
    await queue.send("at once", { delay: 0 });
    expect(await queue.receive()).toMatchObject([{ body: "at once" }]);
    expect(await receiveUntil(queue, 1)).toMatchObject([{ id, body: "later", receives: 1 }]);
    expect(await queue.receive()).toEqual([]);
  });

  it("refuses what is larger than the server takes, and says how large", async () => {
    const { queue } = await around.queue();
    const large = queue.send("x".repeat(2 ** 20));
    await expect(large).rejects.toMatchObject({ kind: "refused", message: /\d{7} bytes .* 1048576/ });
    await queue.send("x".repeat(2 ** 20 - 2000));
    expect(await receiveUntil(queue, 1)).toHaveLength(1);
  });

  it("has one dead letter with the message's id, though its receiver was killed before the message was gone", async () => {
    const { queue: deadLetters, address } = await around.queue();
    const { queue, address: source } = await around.queue();
    const id = await queue.send("poison", { attributes: { colour: "blue" } });
    const nats = await around.nats();
    const [message] = await pull(nats, source, { batch: 1, wait: 1000 });
    for (let kill = 0; kill < 2; kill += 1) await bury(nats, message!, address.subject);
    const dead = { id, body: "poison", attributes: { colour: "blue" }, receives: 1 };
    expect(await deadLetters.receive()).toMatchObject([dead]);
    expect(await deadLetters.receive()).toEqual([]);
    const manager = await jetstreamManager(nats);
    expect((await manager.streams.info(source.stream)).state.messages).toBe(0);
  });

  it("says that it has no consumer, or no stream", async () => {
    const address = { kind: "queue", part: "work", stream: "none", subject: "none", consumer: "none" } as const;
    const queue = queuePort(address, around.world);
    await expect(queue.receive()).rejects.toMatchObject({ kind: "unavailable", message: /setup Job/ });
    await expect(queue.send("x")).rejects.toMatchObject({ kind: "unavailable", message: /setup Job/ });
  });
});
