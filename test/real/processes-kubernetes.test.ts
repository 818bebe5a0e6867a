import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { jetstreamManager } from "@nats-io/jetstream";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { begun, done, FunctionsWorld, firstOf, until, VISIBILITY } from "./kubernetes/functions.ts";
import { freePorts } from "./servers/server.ts";

let world: FunctionsWorld;
beforeAll(async () => {
  world = await FunctionsWorld.start();
});
afterEach(() => world.killAll());
afterAll(() => world.stop());

describe("a process", () => {
  it("goes with a handler that does not end, and the call with its attempts", async () => {
    const { start, call, failures } = await world.function({ timeout: 0.5, attempts: 1 });
    const stuck = start();
    await call("hang");
    expect(await world.ended(stuck)).toBe(1);
    const set = await firstOf(failures);
    expect(JSON.parse(set.body)).toMatchObject({ error: { kind: "timed-out" }, attempts: 1 });
  });

  it("says that it is ready, and works on when NATS comes back", async () => {
    const line = await Line.to(world.around.server.url);
    const [health] = await freePorts(1);
    const { start, call, hears } = await world.function();
    const child = start({ MILLRACE_HEALTH_PORT: String(health) }, line.url);
    const status = (path = "/healthz") =>
      fetch(`http://127.0.0.1:${health}${path}`).then(
        (answer) => answer.status,
        () => 0,
      );
    await until(async () => (await status()) === 200);
    await call("sleep 1.5");
    await hears((all) => begun(all).length === 1);
    line.cut();
    await until(async () => (await status()) === 503);
    expect(await status("/livez")).toBe(200);
    await call("behind its back");
    await sleep(1000);
    await line.mend();
    await until(async () => (await status()) === 200);
    const all = await hears((all) =>
      done(all).some((event) => "payload" in event && event.payload === "behind its back"),
    );
    expect(done(all).some((event) => "payload" in event && event.payload === "sleep 1.5")).toBe(true);
    child.kill("SIGTERM");
    expect(await world.ended(child)).toBe(0);
    await line.close();
  });

  it("waits for NATS, and for its setup", async () => {
    const line = await Line.to(world.around.server.url);
    line.cut();
    const { start, call, hears, spec } = await world.function();
    const manager = await jetstreamManager(await world.around.nats());
    await manager.consumers.delete(spec.stream, spec.consumer);
    const child = start({}, line.url);
    await until(() => child.log.includes("trying again"));
    await line.mend();
    await call("patience");
    await until(() => child.log.includes("consumer not found"));
    const consumer = { stream: spec.stream, name: spec.consumer, subject: spec.subject, visibility: VISIBILITY };
    await world.program("setup", {
      MILLRACE_SETUP: JSON.stringify({ streams: [], consumers: [consumer], tables: [] }),
    });
    expect(done(await hears((all) => done(all).length === 1))).toMatchObject([{ payload: "patience" }]);
    await world.kill(child);
    await line.close();
  });
});

/** Between a process and its server: a line that can be cut. */
class Line {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #port: number;

  private constructor(server: Server) {
    this.#server = server;
    this.#port = (server.address() as AddressInfo).port;
    server.on("connection", (socket: Socket) => this.#sockets.add(socket));
  }

  static async to(url: string): Promise<Line> {
    const { hostname, port } = new URL(url);
    const server = createServer((socket) => {
      const other = connect(Number(port), hostname);
      socket.pipe(other).pipe(socket);
      for (const end of [socket, other]) {
        end.on("error", () => {});
        end.on("close", () => [socket, other].map((one) => one.destroy()));
      }
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new Line(server);
  }

  get url(): string {
    return `nats://127.0.0.1:${this.#port}`;
  }

  cut(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  async mend(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(this.#port, "127.0.0.1", resolve));
  }

  async close(): Promise<void> {
    this.cut();
  }
}
