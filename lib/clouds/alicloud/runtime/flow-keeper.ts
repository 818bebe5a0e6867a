import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import type { LateRuns } from "../../../runtime/workflows/links.ts";
import type { AlicloudWorld } from "./account.ts";
import { batchesOf } from "./batches.ts";
import { runIn, stopChunks } from "./chunks.ts";
import { chunkFlows, Flows } from "./flows.ts";

/** The executions of a flow that began too long ago, and batches of items that nobody goes on with. */
export function port(address: LinkAddress, world: AlicloudWorld): LateRuns {
  const flows = new Flows(address, world);
  return {
    async stopLate() {
      const before = new Date(world.clock.now() - Number(field(address, "timeout")) * 1000).toISOString();
      let stopped = 0;
      for (let next: string | undefined = ""; next !== undefined; ) {
        const page = await flows.list({ status: "Running", before, limit: 99, ...(next && { next }) });
        for (const { Name } of page.executions) {
          await flows.stop(Name, "timed-out", "longer than the workflow allows");
          await stopChunks(chunkFlows(address, world), runIn(Name).run);
        }
        stopped += page.executions.length;
        next = page.next;
      }
      return stopped;
    },
    async lookAfterBatches() {
      return address.chunks === undefined ? 0 : (await batchesOf(address, world)).lookAfter();
    },
  };
}
