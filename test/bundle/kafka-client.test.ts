import { globSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { bundle } from "../../lib/bundle/bundle.ts";

const KAFKA = fileURLToPath(new URL("../../lib/runtime/kafka", import.meta.url));

test("all that speaks with Kafka finds what it uses of the client in a bundle, and little more is there", async () => {
  const folder = await mkdtemp(join(tmpdir(), "millrace-kafka-client-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, "handler.mjs"), "export const handler = async () => {};");
  await writeFile(join(folder, "entry.mjs"), "export const start = async () => {};");
  const files = globSync("*.ts", { cwd: KAFKA });
  expect(files.length).toBeGreaterThan(10);
  const { bytes } = await bundle({
    handler: { file: join(folder, "handler.mjs") },
    code: {},
    settings: {},
    entry: join(folder, "entry.mjs"),
    outdir: join(folder, "bundles"),
    install: [],
    target: "node20",
    ports: Object.fromEntries(files.map((file) => [file, join(KAFKA, file)])),
  });
  // The client as it is takes 780,000.
  expect(bytes).toBeLessThan(500_000);
});
