import { setTimeout as pause } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { seededRandom } from "../../lib/clouds/local/host/faults.ts";
import { startDevProcess } from "./dev-process.ts";
import { processesOf, scene } from "./scene.ts";
import {
  batches,
  done,
  expectOneAtATime,
  FAILURES,
  lagOf,
  numberOf,
  ORDERS,
  orders,
  PARTITIONS,
  RESULTS,
  readAll,
  STREAMS,
  textOf,
} from "./streams.ts";

test("killed in the middle of batches, nothing is lost, and what is committed with its place is there once", async () => {
  const stage = scene();
  const random = seededRandom(7);
  const total = 900;
  let sent = 0;
  for (let life = 0; life < 4; life += 1) {
    const dev = startDevProcess(stage, { program: STREAMS });
    onTestFinished(() => void dev.child.kill("SIGKILL"));
    await dev.ready;
    for (const until = sent + total / 5; sent < until; sent += 20)
      await dev.client.streams.produce(ORDERS, orders(sent, sent + 20, { takes: 30 }));
    await pause(100 + Math.round(random() * 600));
    await dev.end("SIGKILL");
  }
  await expect.poll(() => processesOf(stage.folder), { timeout: 10_000 }).toEqual([]);
  const cloud = await stage.start({ program: STREAMS });
  await cloud.streams.produce(ORDERS, orders(sent, total));
  // Retries of what was cut short wait for their time.
  for (const group of ["shop-count", "shop-tally"]) {
    const rest = async () => {
      await cloud.idle();
      return lagOf(cloud, group);
    };
    await expect.poll(rest, { timeout: 15_000 }).toBe(0);
  }

  const stored = await readAll(cloud, ORDERS);
  const notes = batches(stage);
  expectOneAtATime(notes);
  for (const partition of PARTITIONS) {
    const numbers = done(notes)
      .filter((note) => note.partition === partition)
      .flatMap((note) => note.numbers);
    expect([...new Set(numbers)]).toEqual(stored[partition]!.map(numberOf));
  }
  const all = [...Array(total).keys()];
  expect(
    stored
      .flat()
      .map(numberOf)
      .sort((one, other) => one - other),
  ).toEqual(all);
  const results = (await readAll(cloud, RESULTS)).flat().map(textOf).map(Number);
  expect(results.sort((one, other) => one - other)).toEqual(all);
  expect(await cloud.queues.stats(FAILURES)).toMatchObject({ ready: 0 });
}, 60_000);
