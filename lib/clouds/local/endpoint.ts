import { randomBytes } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Plan } from "../../parts/plan.ts";

/** Where a running local cloud answers; in `<folder>/endpoint.json`, readable by its user alone. */
export interface Endpoint {
  readonly url: string;
  readonly token: string;
  readonly pid: number;
}

const endpointFile = (folder: string): string => join(folder, "endpoint.json");
const planFile = (folder: string): string => join(folder, "plan.json");

/** Says where the local cloud of this folder answers; there whole or not at all. */
export const writeEndpoint = (folder: string, endpoint: Endpoint): Promise<void> =>
  writeWhole(endpointFile(folder), JSON.stringify(endpoint));

/** Where the local cloud of this folder answers; undefined if none says so. */
export const readEndpoint = (folder: string): Promise<Endpoint | undefined> => readJson(endpointFile(folder));

/** Takes `endpoint.json` away, unless it is another process's by now. */
export async function removeEndpoint(folder: string, token: string): Promise<void> {
  const known = await readEndpoint(folder);
  if (known?.token === token) await rm(endpointFile(folder), { force: true });
}

/** Keeps the plan last run in this folder, so that its names are known while nothing runs. */
export const writePlan = (folder: string, plan: Plan): Promise<void> =>
  writeWhole(planFile(folder), JSON.stringify(plan));

/** The plan last run in this folder. */
export const readPlan = (folder: string): Promise<Plan | undefined> => readJson(planFile(folder));

async function writeWhole(file: string, text: string): Promise<void> {
  await mkdir(join(file, ".."), { recursive: true });
  const unfinished = `${file}.${randomBytes(6).toString("hex")}`;
  await writeFile(unfinished, text, { mode: 0o600, flag: "wx" });
  await rename(unfinished, file);
}

async function readJson<Value>(file: string): Promise<Value | undefined> {
  try {
    return JSON.parse(await readFile(file, "utf8")) as Value;
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
