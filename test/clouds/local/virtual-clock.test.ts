import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Agenda } from "../../../lib/clouds/local/host/agenda.ts";
import { VirtualClock } from "../../../lib/clouds/local/host/virtual-clock.ts";
import { sleep } from "../../../lib/runtime/clock.ts";
import { makeHost, until } from "./fixtures/kit.ts";

const START = Date.parse("2026-01-01T00:00:00Z");

describe("virtual time", () => {
  it("stands still until it is moved", async () => {
    const clock = new VirtualClock("2026-01-01T00:00:00Z");
    expect(clock.now()).toBe(START);
    await clock.advance("1 hour");
    expect(clock.now()).toBe(START + 3_600_000);
    await clock.advanceTo("2026-01-02T00:00:00Z");
    expect(clock.now()).toBe(START + 86_400_000);
    await expect(clock.advanceTo(START)).rejects.toThrow(/only goes forward/);
    expect(() => new VirtualClock("yesterday")).toThrow(/ISO 8601/);
  });

  it("rings in order, each alarm at its own time, also those set on the way", async () => {
    const clock = new VirtualClock(START);
    const rung: string[] = [];
    const ring = (name: string, seconds: number) =>
      clock.at(START + seconds * 1000, () => rung.push(`${name} ${(clock.now() - START) / 1000}`));
    ring("c", 30);
    ring("a", 10);
    ring("a2", 10);
    const cancel = ring("never", 15);
    cancel();
    ring("later", 61);
    const every = async () => {
      for (let n = 0; n < 3; n += 1) {
        await sleep(clock, 9000);
        rung.push(`every ${(clock.now() - START) / 1000}`);
      }
    };
    const work = every();
    await clock.advance("1 minute");
    await work;
    expect(rung).toEqual(["every 9", "a 10", "a2 10", "every 18", "every 27", "c 30"]);
  });

  it("is a whole number of milliseconds, whatever alarms ask for", async () => {
    const clock = new VirtualClock(START);
    const rung: number[] = [];
    clock.at(START + 0.1, () => rung.push(clock.now()));
    clock.at(START + 1.5, () => rung.push(clock.now()));
    await clock.advance("1 second");
    expect(rung).toEqual([START + 1, START + 2]);
  });

  it("rings at once what is due already", async () => {
    const clock = new VirtualClock(START);
    await new Promise<void>((resolve) => clock.at(START - 1, resolve));
  });

  it("turns an agenda", async () => {
    const clock = new VirtualClock(START);
    const agenda = new Agenda(clock);
    const ran: number[] = [];
    let next = START + 10_000;
    agenda.add({
      next: () => next,
      run: (now) => {
        ran.push(now - START);
        next += 10_000;
      },
    });
    await clock.advance("35 seconds");
    agenda.stop();
    expect(ran).toEqual([10_000, 20_000, 30_000]);
  });

  it("is the time of a handler too, however many times it sleeps", async () => {
    const clock = new VirtualClock(START);
    const host = makeHost({ clock, port: () => ({ value: async () => String(clock.now() - START) }) });
    host.define(
      "sleeps",
      `async (event, { clock, links }) => {
        const times = [];
        for (let n = 0; n < 3; n++) {
          await new Promise((resolve) => clock.at(clock.now() + 60_000, resolve));
          times.push([clock.now(), Number(await links.secret.value())]);
        }
        console.log("awake");
        return times;
      }`,
      { timeout: 600, links: { secret: { part: "secret", actions: ["secret.read"] } } },
    );
    const call = host.functions.invoke("sleeps", null);
    let isOver = false;
    void call.finally(() => {
      isOver = true;
    });
    await clock.advance("150 seconds");
    expect(isOver).toBe(false);
    await clock.advance("1 minute");
    expect(await call).toEqual([1, 2, 3].map((minute) => [START + minute * 60_000, minute * 60_000]));
  });

  it("waits for handlers that work", async () => {
    const clock = new VirtualClock(START);
    const host = makeHost({ clock });
    host.define(
      "works",
      `async (event, { clock }) => { await new Promise((r) => setTimeout(r, 300)); return clock.now(); }`,
    );
    const call = host.functions.invoke("works", null);
    await clock.advance("1 day");
    expect(await call).toBe(START);
  });

  it("is all that handlers wait for once nothing of them goes on, nor of those that wait for their room", async () => {
    const clock = new VirtualClock(START);
    const host = makeHost({ clock, most: 1 });
    const file = join(host.folder, "written");
    host.define(
      "waits",
      `async (event, { clock }) => {
        const asleep = new Promise((resolve) => clock.at(clock.now() + 60_000, resolve));
        // Of what goes on meanwhile, none can be seen from outside.
        await promisify(deflateRaw)(randomBytes(2 ** 24));
        await promisify(execFile)("sleep", ["0.2"]);
        await appendFile(${JSON.stringify(file)}, "x");
        await asleep;
        await appendFile(${JSON.stringify(file)}, "y");
      }`,
      { timeout: 600 },
      `import { execFile } from "node:child_process";
       import { randomBytes } from "node:crypto";
       import { appendFile } from "node:fs/promises";
       import { promisify } from "node:util";
       import { deflateRaw } from "node:zlib";`,
    );
    const { functions } = host;
    const calls = [functions.invoke("waits", null), functions.invoke("waits", null)];
    expect(functions.isQuiet).toBe(false);
    for (const written of ["x", "xyx"]) {
      await until("only time can wake it", () => functions.isQuiet);
      expect(readFileSync(file, "utf8")).toBe(written);
      await clock.advance("1 minute");
    }
    await Promise.all(calls);
    expect(functions.isQuiet).toBe(true);
  });

  it("ends a handler that has run out of it", async () => {
    const clock = new VirtualClock(START);
    const host = makeHost({ clock });
    host.define(
      "waits",
      `(event, { signal, clock }) => new Promise((resolve, reject) => { clock.at(clock.now() + 1e9, resolve); signal.addEventListener("abort", () => reject(signal.reason)); })`,
      { timeout: 3600 },
    );
    const call = host.functions.invoke("waits", null);
    call.catch(() => {});
    await clock.advance("59 minutes");
    await clock.advance("1 minute");
    await expect(call).rejects.toMatchObject({ kind: "timed-out" });
  });
});
