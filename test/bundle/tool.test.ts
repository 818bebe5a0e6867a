import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { unzipSync } from "fflate";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEFAULT_TOOLS, toolArchive, toolSource } from "../../lib/bundle/tool.ts";

const PROGRAM = Buffer.from("#!/bin/sh\necho 1\n");
const sha256 = createHash("sha256").update(PROGRAM).digest("hex");

describe("where a tool comes from", () => {
  const mine = { url: "https://example.com/ffmpeg", sha256 };
  it("is said by the user, else known for some; of others nobody says it", () => {
    expect(toolSource("ffmpeg", { ffmpeg: mine })).toBe(mine);
    expect(toolSource("ffmpeg")).toBe(DEFAULT_TOOLS.ffmpeg);
    for (const name of ["pandoc", "constructor", "toString"]) expect(toolSource(name, {})).toBeUndefined();
  });
});

describe("a tool", () => {
  let folder: string;
  let server: Server;
  let origin: string;
  let asked = 0;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "millrace-tools-"));
    server = createServer((request, response) => {
      asked += 1;
      if (request.url === "/tool") response.end(PROGRAM);
      else response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(async () => {
    server.close();
    await rm(folder, { recursive: true, force: true });
  });

  it("is fetched once, and lies in bin/ of its zip", async () => {
    const source = { url: `${origin}/tool`, sha256 };
    const one = await toolArchive("tool", source, folder);
    const other = await toolArchive("tool", source, folder);
    expect(other).toEqual(one);
    expect(asked).toBe(1);
    const files = unzipSync(await readFile(one.file));
    expect(Object.keys(files)).toEqual(["bin/tool"]);
    expect(Buffer.from(files["bin/tool"]!)).toEqual(PROGRAM);
  });

  it("is refused if it is another one, also when it was changed afterwards", async () => {
    const wrong = { url: `${origin}/tool`, sha256: "0".repeat(64) };
    await expect(toolArchive("tool", wrong, folder)).rejects.toThrow(`tool tool: its sha256 is ${sha256}, not 000`);
    await writeFile(join(folder, "tools", sha256), "something else");
    await expect(toolArchive("tool", { url: `${origin}/tool`, sha256 }, folder)).rejects.toThrow("its sha256 is");
  });

  it("is refused if it is not there", async () => {
    const missing = { url: `${origin}/no`, sha256 };
    await expect(toolArchive("tool", missing, join(folder, "new"))).rejects.toThrow("/no answers 404");
  });
});
