import type { FunctionInvoked } from "../../lib/runtime/index.ts";
import { type Job, work } from "../queues/job.ts";

/** The same work as the peers' workers do. */
export const handler = ({ payload }: FunctionInvoked<Job>): Promise<number> => work(payload);
