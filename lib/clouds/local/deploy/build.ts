import { output } from "@pulumi/pulumi";
import type { Built, CloudDriver, Scope } from "../../../parts/index.ts";

/** A local part is found by its name; there is nothing to make before `millrace dev` runs. */
const byName = ({ name }: Scope): Built => ({ id: output(name), address: { name: output(name) }, resources: {} });

/** Every part, all the same way: what they do here is the host's work, read off the plan. */
export const build: CloudDriver["build"] = {
  bucket: byName,
  queue: byName,
  function: byName,
  task: byName,
  schedule: byName,
  secret: byName,
  volume: byName,
  table: byName,
  monitor: byName,
  workflow: byName,
  stream: byName,
};
