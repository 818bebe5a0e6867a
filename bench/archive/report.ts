import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { treeCpu } from "../measure.ts";

/** Does the work, and says on standard output what it took and how much lies in the folder then. */
export async function report(folder: string, work: () => Promise<void>): Promise<void> {
  const [began, cpu] = [performance.now(), treeCpu(process.pid)];
  await work();
  const took = { wall: (performance.now() - began) / 1000, cpu: treeCpu(process.pid) - cpu };
  const names = readdirSync(folder, { recursive: true }) as string[];
  const sizes = names.map((name) => statSync(join(folder, name))).filter((found) => found.isFile());
  process.stdout.write(JSON.stringify({ ...took, bytes: sizes.reduce((sum, { size }) => sum + size, 0) }));
}
