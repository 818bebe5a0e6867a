/** A loop that splits, and a `gzip` for each application: `pipes.ts <lines> <folder> <level>`. It promises nothing. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { batches } from "./lines.ts";
import { report } from "./report.ts";

const [count, folder, level] = process.argv.slice(2) as [string, string, string];
const given = batches(Number(count));
await report(folder, async () => {
  const pipes = new Map<string, ChildProcess>();
  const pipeOf = (app: string): ChildProcess => {
    const known = pipes.get(app);
    if (known) return known;
    const file = openSync(join(folder, `${app}.log.gz`), "w");
    const pipe = spawn("gzip", [`-${level}`], { stdio: ["pipe", file, "inherit"] });
    closeSync(file);
    pipes.set(app, pipe);
    return pipe;
  };
  for (const values of given) {
    const texts = new Map<string, string>();
    for (const value of values) {
      const line = value.toString();
      const { app } = JSON.parse(line) as { readonly app: string };
      texts.set(app, `${texts.get(app) ?? ""}${line}\n`);
    }
    for (const [app, text] of texts) {
      const { stdin } = pipeOf(app);
      if (!stdin!.write(text)) await once(stdin!, "drain");
    }
  }
  await Promise.all(
    [...pipes.values()].map((pipe) => {
      pipe.stdin!.end();
      return once(pipe, "close");
    }),
  );
});
