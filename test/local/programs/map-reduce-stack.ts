import { local } from "../../../lib/clouds/local/index.ts";
import { MapReduceFlow, python } from "../../../lib/index.ts";

const cloud = local();
const operators = new URL("./map-reduce-operators/", import.meta.url);

/** Words of texts, counted in Python. */
new MapReduceFlow("python", {
  cloud,
  mapper: python(operators, "words:mapper"),
  combiner: python(operators, "words:total"),
  reducer: python(operators, "words:total"),
  skips: 2,
  partitions: 2,
});

export const millrace = cloud.output;
