import { describe, expect, it } from "vitest";
import { start } from "../../../lib/clouds/alicloud/runtime/entry.ts";
import { VideoTranscodePipeline } from "../../../lib/constructs/video-transcode-pipeline.ts";
import { handler as keep } from "../../../lib/handlers/tasks/keep.ts";
import { handler as dispatch } from "../../../lib/handlers/video/dispatch.ts";
import type { RegisteredResource } from "../../../lib/program/mocks.ts";
import { systemClock } from "../../../lib/runtime/clock.ts";
import type { Deployment } from "../../../lib/runtime/deployment.ts";
import type { MillraceError } from "../../../lib/runtime/errors.ts";
import type { BucketReader, BucketWriter } from "../../../lib/runtime/ports.ts";
import type { Envelope } from "../../../lib/runtime/tasks/envelope.ts";
import { OWN_TASK, readEnvironment, writeEnvironment } from "../../../lib/shared/environment.ts";
import { inFolder } from "../../ports/tasks-construct.ts";
import { Guard } from "../policies.ts";
import { guardFake } from "./asked.ts";
import { FakeFc } from "./fakes/fc.ts";
import { FakeOss } from "./fakes/oss.ts";
import { keysOf } from "./fakes/server.ts";
import { FakeSmq } from "./fakes/smq.ts";
import { FakeTablestore } from "./fakes/tablestore.ts";
import { deploy, inputsOf, policiesOf } from "./stack.ts";

const oss = () => import("../../../lib/clouds/alicloud/runtime/oss.ts");

/** Does with its links what the transcoder does, and tries what they do not allow. */
async function work(
  { payload }: { readonly payload: { readonly object: string } },
  { links }: { readonly links: { readonly uploads: BucketReader; readonly outputs: BucketWriter } },
): Promise<unknown> {
  const path = await links.uploads.file(payload.object);
  await links.outputs.putFile(`${payload.object}/video.mp4`, path, { contentType: "video/mp4" });
  const greedy = [
    () => (links.uploads as unknown as BucketWriter).put("in/mine", "x"),
    () => (links.outputs as unknown as BucketReader).get(`${payload.object}/video.mp4`),
  ];
  return Promise.all(greedy.map((ask) => ask().catch((error: MillraceError) => `${error.kind}: ${error.message}`)));
}

describe("a VideoTranscodePipeline on Alibaba Cloud", () => {
  it("runs with what its roles allow, and they allow nothing else", async () => {
    const resources = await inFolder(() => deploy((cloud) => void new VideoTranscodePipeline("videos", { cloud })));
    const bucketOf = (name: string) => new FakeOss(inputsOf(resources, "Bucket", name).bucket);
    const [uploads, outputs] = [bucketOf("videos-uploads"), bucketOf("videos-outputs")];
    const claims = bucketOf("alicloud-cn-hangzhou-artifacts");
    const failures = inputsOf(resources, "ServiceQueue", "videos-failures").queueName as string;
    const smq = new FakeSmq({ [failures]: { visibility: 30 } });
    const tablestore = new FakeTablestore();
    const fc = new FakeFc();
    const guard = new Guard(policiesOf(resources));
    const buckets = [uploads, outputs, claims];
    for (const { server } of buckets) guardFake(server, "oss", guard);
    guardFake(smq.server, "smq", guard);
    guardFake(tablestore.server, "tablestore", guard);
    guardFake(fc.server, "fc", guard);
    const servers = [...buckets.map(({ server }) => server), smq.server, tablestore.server, fc.server];
    await Promise.all(servers.map((server) => server.start()));
    const endpoints: Readonly<Record<string, object>> = {
      uploads: { endpoint: uploads.server.origin },
      outputs: { endpoint: outputs.server.origin },
    };
    const task = {
      bucketEndpoint: claims.server.origin,
      queueEndpoint: smq.server.origin,
      tableEndpoint: tablestore.server.origin,
      functionEndpoint: fc.server.origin,
    };
    const made = (name: string, handler: unknown, ports: Readonly<Record<string, () => Promise<unknown>>>) => {
      const { functionName, settings, variables } = writtenOf(resources, name, (link) => endpoints[link] ?? task);
      const deployment = { handler, code: {}, settings, ports } as unknown as Deployment;
      fc.functions.set(functionName, {
        handler: start(deployment, { variables, clock: systemClock, write: () => {} }),
        timeout: 60,
        credentials: keysOf(name),
        ...(name.endsWith("-work") && { asyncTask: true }),
      });
      return functionName;
    };
    made("videos-transcode-work", work, {
      uploads: oss,
      outputs: oss,
      [OWN_TASK]: () => import("../../../lib/clouds/alicloud/runtime/own-task.ts"),
    });
    const keeper = made("videos-transcode-keep", keep, {
      tasks: () => import("../../../lib/clouds/alicloud/runtime/keeper.ts"),
    });
    const dispatcher = made("videos-transcode-dispatch", dispatch, {
      uploads: oss,
      task: () => import("../../../lib/clouds/alicloud/runtime/task.ts"),
    });
    try {
      uploads.objects.set("in/a.mov", stored("a video"));
      const call = async (name: string, event: object) => {
        const { handler, credentials } = fc.functions.get(name)!;
        const context = { requestId: "r", function: { timeout: 60 }, credentials: credentials! };
        await handler(Buffer.from(JSON.stringify(event)), context);
      };
      const ask = (object: string) =>
        call(dispatcher, { millrace: "call", id: object, payload: { object }, time: new Date().toISOString() });
      await ask("in/a.mov");
      await ask("in/none.mov");
      const envelopes = () => smq.bodies(failures).map((body) => JSON.parse(body) as Envelope);
      await expect.poll(() => [...outputs.objects.keys()], { timeout: 10_000 }).toEqual(["in/a.mov/video.mp4"]);
      await expect
        .poll(() => envelopes().map(({ task }) => task.error?.kind), { timeout: 10_000 })
        .toEqual(["not-found"]);
      await expect
        .poll(() => [...fc.tasks.values()].map(({ status }) => status).toSorted(), { timeout: 10_000 })
        .toEqual(["Failed", "Succeeded"]);
      const { result } = JSON.parse(
        [...fc.tasks.values()].find(({ status }) => status === "Succeeded")!.returnPayload!,
      );
      expect(result).toEqual([
        expect.stringMatching(/^refused: put "in\/mine" in bucket videos-uploads: .*403 AccessDenied/),
        expect.stringMatching(/^refused: get "in\/a.mov\/video.mp4" in bucket videos-outputs: .*403 AccessDenied/),
      ]);
      const fired = { triggerTime: new Date().toISOString(), triggerName: "t", payload: "videos-transcode-keep" };
      await call(keeper, fired);
      expect(guard.refused.toSorted()).toEqual([
        expect.stringMatching(/^videos-transcode-work: oss:GetObject .*video\.mp4$/),
        expect.stringMatching(/^videos-transcode-work: oss:PutObject .*in\/mine$/),
      ]);
      expect(guard.usedBy("videos-transcode-keep")).toContain("ots:GetRange");
      expect(guard.usedBy("videos-transcode-dispatch")).toContain("oss:GetObject");
      expect(guard.usedBy("videos-transcode-work")).toEqual(
        expect.arrayContaining(["mns:SendMessage", "oss:GetObject", "oss:PutObject", "ots:PutRow"]),
      );
    } finally {
      await fc.close();
      await Promise.all(servers.filter((server) => server !== fc.server).map((server) => server.close()));
    }
  });
});

/** What the deployment tells a function, with the endpoints of fakes. */
function writtenOf(resources: readonly RegisteredResource[], name: string, endpointsOf: (link: string) => object) {
  const { functionName, environmentVariables } = inputsOf(resources, "V3Function", name);
  const environment = readEnvironment(environmentVariables);
  const links = Object.entries(environment.links).map(([link, address]) => [
    link,
    { ...address, ...endpointsOf(link) },
  ]);
  return {
    functionName: functionName as string,
    settings: { renditions: [], accepts: ["mp4"], outputPrefix: "" },
    variables: writeEnvironment({ ...environment, links: Object.fromEntries(links) }),
  };
}

const stored = (text: string) => ({
  bytes: Buffer.from(text),
  size: text.length,
  etag: "E",
  modified: Date.now(),
  headers: {},
});
