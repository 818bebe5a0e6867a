export type { FaultPoint, FaultRule } from "../clouds/local/host/faults.ts";
export { VirtualClock } from "../clouds/local/host/virtual-clock.ts";
export { type LocalCloud, type StartLocalOptions, startLocal } from "./start-local.ts";
export { type Synthesis, type SynthesizedResource, type SynthesizeOptions, synthesize } from "./synthesize.ts";
