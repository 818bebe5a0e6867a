import { Config } from "@pulumi/pulumi";

/** Runs the program that `millrace:stack` names: videos by default. */
const programs = {
  videos: () => import("./videos.ts"),
  tasks: () => import("./tasks.ts"),
  flows: () => import("./flows.ts"),
  streams: () => import("./streams.ts"),
  platform: () => import("./platform.ts"),
};

const name = new Config("millrace").get<keyof typeof programs>("stack") ?? "videos";
const program = programs[name];
if (!program) throw new Error(`millrace:stack: one of ${Object.keys(programs).join(", ")}, got "${name}"`);

export const millrace = program().then((stack) => stack.millrace);
