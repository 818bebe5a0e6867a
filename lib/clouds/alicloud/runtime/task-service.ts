import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import type { TaskLimits } from "../../../runtime/tasks/bodies.ts";
import { type BriefTaskService, briefTaskService } from "../../../runtime/tasks/brief-service.ts";
import type { AlicloudWorld } from "./account.ts";
import { FcPlatform } from "./fc-platform.ts";
import { Functions } from "./functions.ts";
import { storeLogs } from "./logs.ts";
import { port as ossPort } from "./oss.ts";
import { port as smqPort } from "./smq.ts";
import { port as tablestorePort } from "./tablestore.ts";

/**
 * A body of an asynchronous call is 128 KB, with what says whose it is; a queue as destination carries 64 KB.
 * https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/specification-details
 */
const LIMITS: TaskLimits = { taskPayloadBytes: 120 * 1024, taskResultBytes: 64 * 1024 };

/** A task's service on Function Compute. What functions print goes to Log Service by itself. */
export async function taskService(address: LinkAddress, world: AlicloudWorld): Promise<BriefTaskService> {
  const functions = new Functions(address, world);
  const { clock } = world;
  return briefTaskService({
    address,
    world,
    table: await tablestorePort(tableAddress(address), world),
    claims: ossPort(claimsAddress(address), world),
    platform: new FcPlatform(functions, field(address, "worker")),
    logs: storeLogs(address, world),
    limits: LIMITS,
    invoke: (name, call) => functions.invoke(name, JSON.stringify(call)),
    start: async (name, call) => void (await functions.start(name, JSON.stringify(call))),
    async send({ name, physical }, body) {
      const queue = smqPort({ ...place(address), kind: "queue", part: name, queue: physical }, world);
      await queue.send(body);
    },
    /** As its timer does. */
    async wake(delay) {
      const event = {
        triggerTime: new Date(clock.now() + delay * 1000).toISOString(),
        triggerName: "wake",
        payload: "",
      };
      await functions.start(field(address, "keeper"), JSON.stringify(event), { delay });
    },
  });
}

const place = (address: LinkAddress) => ({
  region: field(address, "region"),
  account: field(address, "account"),
  ...(address.queueEndpoint !== undefined && { endpoint: address.queueEndpoint }),
});

const claimsAddress = (address: LinkAddress): LinkAddress => ({
  kind: "bucket",
  part: field(address, "claims"),
  bucket: field(address, "claims"),
  region: field(address, "region"),
  ...(address.bucketEndpoint !== undefined && { endpoint: address.bucketEndpoint }),
});

const tableAddress = (address: LinkAddress): LinkAddress => ({
  kind: "table",
  part: field(address, "table"),
  instance: field(address, "instance"),
  table: field(address, "table"),
  region: field(address, "region"),
  ...(address.tableEndpoint !== undefined && { endpoint: address.tableEndpoint }),
});
