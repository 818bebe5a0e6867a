/**
 * Registers one construct on one cloud with mocks in the place of the engine, and prints how many resources that were and
 * what it took: `node building.ts <cloud> <construct>`, in a folder where the functions' code may lie.
 */
import { AsyncTask, code, VideoTranscodePipeline } from "../../lib/index.ts";
import type { Cloud } from "../../lib/parts/cloud.ts";

const STACKS = {
  alicloud: () => import("../../test/clouds/alicloud/stack.ts"),
  aws: () => import("../../test/clouds/aws/stack.ts"),
  kubernetes: () => import("../../test/clouds/kubernetes/stack.ts"),
};
const CONSTRUCTS: Readonly<Record<string, (cloud: Cloud) => unknown>> = {
  AsyncTask: (cloud) => {
    const handler = code<typeof import("./noop.ts")>(new URL("./noop.ts", import.meta.url));
    return new AsyncTask("bench", { cloud, handler });
  },
  VideoTranscodePipeline: (cloud) => new VideoTranscodePipeline("bench", { cloud, formats: ["mp4"] }),
};

const [cloud, construct] = process.argv.slice(2) as [keyof typeof STACKS, string];
const { deploy } = await STACKS[cloud]();
const began = performance.now();
const resources = await deploy(CONSTRUCTS[construct]!);
console.log(JSON.stringify({ resources: resources.length, seconds: (performance.now() - began) / 1000 }));
