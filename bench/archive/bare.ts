/** A loop that splits, compresses each batch's lines of an application, and appends: `bare.ts <lines> <folder> <level>`. */
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { batches } from "./lines.ts";
import { report } from "./report.ts";

const [count, folder, level] = process.argv.slice(2) as [string, string, string];
const given = batches(Number(count));
await report(folder, async () => {
  for (const values of given) {
    const texts = new Map<string, string>();
    for (const value of values) {
      const line = value.toString();
      const { app } = JSON.parse(line) as { readonly app: string };
      texts.set(app, `${texts.get(app) ?? ""}${line}\n`);
    }
    for (const [app, text] of texts) {
      appendFileSync(join(folder, `${app}.log.gz`), gzipSync(text, { level: Number(level) }));
    }
  }
});
