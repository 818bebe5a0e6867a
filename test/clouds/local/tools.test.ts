import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { findTool, findTools } from "../../../lib/clouds/local/host/tools.ts";
import { makeFolder } from "./fixtures/kit.ts";

const installed = createRequire(import.meta.url)("@ffmpeg-installer/ffmpeg") as { readonly path: string };

/** A project, and a program in it that says a version. */
function setUp(version = "ffmpeg version 7.1 Copyright") {
  const project = makeFolder();
  const program = (path: string, mode = 0o755) => {
    const file = join(project, path);
    mkdirSync(join(file, ".."), { recursive: true });
    writeFileSync(file, `#!/bin/sh\necho "${version}"\n`);
    chmodSync(file, mode);
    return file;
  };
  const search = (environment: Record<string, string> = {}) => ({
    environment,
    project,
    cache: join(project, "cache"),
  });
  return { project, program, search };
}

describe("tools", () => {
  it("are the ones that the environment names, then those on the PATH", async () => {
    const { project, program, search } = setUp();
    const chosen = program("chosen/ffmpeg");
    const onPath = program("bin/ffmpeg");
    const PATH = `relative:${join(project, "missing")}:${join(project, "bin")}`;
    expect(await findTool("ffmpeg", search({ MILLRACE_FFMPEG: chosen, PATH }))).toEqual({
      name: "ffmpeg",
      path: chosen,
      version: "ffmpeg version 7.1 Copyright",
    });
    expect(await findTool("ffmpeg", search({ PATH }))).toMatchObject({ path: onPath });
  });

  it("come from npm otherwise, with a warning for an old build", async () => {
    const { search } = setUp();
    const tool = await findTool("ffmpeg", search({ PATH: "" }));
    expect(tool.path).toBe(installed.path);
    expect(tool.version).toMatch(/^ffmpeg version /);
    expect(tool.warning).toMatch(/5.0 of 2022 or newer is recommended/);
  });

  it("of the user's project come before ours, and are made executable", async () => {
    const { program, project, search } = setUp();
    const path = program("node_modules/ffmpeg-static/ffmpeg", 0o644);
    writeFileSync(join(project, "node_modules/ffmpeg-static/index.js"), `module.exports = ${JSON.stringify(path)};`);
    writeFileSync(join(project, "node_modules/ffmpeg-static/package.json"), `{ "main": "index.js" }`);
    expect(await findTool("ffmpeg", search({ PATH: "" }))).toMatchObject({ path });
  });

  it.each([
    ["ffmpeg version 4.4.2-0ubuntu0", true],
    ["ffmpeg version n5.1", false],
    ["ffmpeg version N-47683-g0e8eb07980-static Copyright (c) 2000-2018 the FFmpeg developers", true],
    ["ffmpeg version N-112233-gabcdef Copyright (c) 2000-2025 the FFmpeg developers", false],
  ])("are warned of when they are old: %s", async (version, isOld) => {
    const { program, search } = setUp(version);
    const { warning } = await findTool("ffmpeg", search({ MILLRACE_FFMPEG: program("ffmpeg") }));
    expect(warning !== undefined).toBe(isOld);
  });

  it("that do not run, or are not there, are errors that say where was looked and what to do", async () => {
    const { program, search, project } = setUp();
    writeFileSync(join(project, "broken"), "no program");
    const find = (name: string, environment: Record<string, string>) => findTool(name, search(environment));
    await expect(find("ffmpeg", { MILLRACE_FFMPEG: join(project, "broken") })).rejects.toThrow(
      /ffmpeg from MILLRACE_FFMPEG=.*broken does not run/,
    );
    await expect(find("ffmpeg", { MILLRACE_FFMPEG: "ffmpeg" })).rejects.toThrow(/an absolute path is wanted/);
    await expect(find("pandoc", { PATH: "/nowhere" })).rejects.toMatchObject({
      kind: "unavailable",
      message:
        "there is no pandoc here: MILLRACE_PANDOC is not set; no pandoc on the PATH. To get one: install it, or set MILLRACE_PANDOC to its path",
    });
    program("bin/ffmpeg");
    await expect(findTools(["ffmpeg", "pandoc", "gs"], search({ PATH: join(project, "bin") }))).rejects.toThrow(
      /no pandoc here[\s\S]*no gs here/,
    );
    expect(Object.keys(await findTools(["ffmpeg", "ffmpeg"], search({ PATH: join(project, "bin") })))).toEqual([
      "ffmpeg",
    ]);
  });
});
