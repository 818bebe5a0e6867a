import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect } from "vitest";
import { connectLocal, type LocalClient } from "../../lib/clouds/local/client.ts";
import { serveLocal } from "../../lib/clouds/local/host/server.ts";
import { TestView } from "../clouds/local/view.ts";
import { type Ended, millrace, type RunOptions } from "./run.ts";

/** A folder in which a local cloud runs for all tests of a file, and commands in it. */
export interface CloudFolder {
  readonly folder: string;
  readonly view: TestView;
  readonly client: LocalClient;
  run(words: readonly string[], options?: RunOptions): Promise<Ended>;
  /** What a command answers with `--json`: one document on one line. */
  json<Value>(...words: string[]): Promise<Value>;
}

export function cloudFolder(): CloudFolder {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "millrace-cli-")));
  const cloud = join(folder, ".millrace");
  const view = new TestView(cloud);
  let close = async () => {};
  beforeAll(async () => {
    const server = await serveLocal({ view, folder: cloud });
    close = () => server.close();
  });
  afterAll(async () => {
    await close();
    view.close();
    rmSync(folder, { recursive: true });
  });
  const run: CloudFolder["run"] = (words, options) => millrace(words, { cwd: folder, ...options });
  return {
    folder,
    view,
    client: connectLocal({ folder: cloud }),
    run,
    async json(...words) {
      const { code, out, err } = await run([...words, "--json"]);
      expect({ code, err }).toEqual({ code: 0, err: "" });
      expect(out.trimEnd()).not.toContain("\n");
      return JSON.parse(out);
    },
  };
}
