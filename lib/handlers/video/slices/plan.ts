import type { FunctionInvoked } from "../../../runtime/events.ts";
import type { Handler } from "../../../runtime/handler.ts";
import type { BucketReader, BucketWriter } from "../../../runtime/ports.ts";
import { explain } from "../explain.ts";
import { isCutRiff } from "../file-start.ts";
import { type ProbeOptions, probe } from "../probe.ts";
import { type OldTranscodePayload, parseRequest, type TranscodePayload, type TranscodeRequest } from "../request.ts";
import type { TranscodeSettings } from "../settings.ts";
import { toSource } from "../source.ts";
import { type SourceServer, withSource } from "../source-server.ts";
import { toolOf } from "../tool.ts";
import { type CutOptions, type CutPlan, cutPlan } from "./cut-plan.ts";
import { type Manifest, manifestKey } from "./manifest.ts";
import { type Packet, scanPackets } from "./packets.ts";
import { encodesOf } from "./sharing.ts";

/** What is asked to be cut. */
export interface PlanPayload {
  readonly run: string;
  readonly payload: TranscodePayload | OldTranscodePayload;
}

/** How a video is cut. All else is in the manifest. */
export interface PlanResult {
  /** 0: in no slices, the run is made in one piece. */
  readonly count: number;
  readonly slices: readonly { readonly index: number }[];
  /** Why there are none. */
  readonly reason: string;
}

export interface PlanLinks {
  readonly uploads: BucketReader;
  readonly work: BucketWriter;
}

/** What the pipeline makes, and how finely it cuts. */
export interface PlanSettings extends TranscodeSettings {
  readonly cut: CutOptions;
}

/**
 * Looks at every packet of a video, and puts the manifest that says how it is cut.
 *
 * Errors: as those of a transcode, for what can't work.
 */
export const handler: Handler<FunctionInvoked<PlanPayload>, PlanLinks, PlanSettings, PlanResult> = async (
  { payload: { run, payload } },
  { links, settings, tools, scratch, signal, log },
) => {
  const request = parseRequest(payload, settings, links.uploads.bucket);
  try {
    const probing = { ffprobe: toolOf(tools, "ffprobe"), cwd: scratch, signal };
    const planned = await withSource(request, links.uploads, (server) => plan(request, server, settings.cut, probing));
    if ("reason" in planned) {
      log.info(`${request.object} is made in one piece: ${planned.reason}`);
      return { count: 0, slices: [], reason: planned.reason };
    }
    await links.work.put(manifestKey(run), JSON.stringify(planned), { contentType: "application/json" });
    return { count: planned.slices.length, slices: planned.slices.map((_, index) => ({ index })), reason: "" };
  } catch (error) {
    throw explain(error, request.object);
  }
};

async function plan(
  { object, renditions }: TranscodeRequest,
  server: SourceServer,
  options: CutOptions,
  probing: ProbeOptions,
): Promise<Manifest | { readonly reason: string }> {
  const encodes = encodesOf(renditions);
  if (encodes.pictures.length === 0) return { reason: "nothing that is made of it can come from slices" };
  if (server.size === 0) return { reason: "it is empty" };
  if (isCutRiff(Buffer.from(await server.read(0, 12)), server.size)) return { reason: "it is shorter than it says" };
  const source = toSource(await probe(server.input, probing));
  if (!source.video) return { reason: "it has no picture" };
  const packets: Packet[] = [];
  await scanPackets(server.input, String(source.video.index), (packet) => packets.push(packet), probing);
  const cut: CutPlan = cutPlan(packets, source.video.gridRate, options);
  if ("reason" in cut) return cut;
  const { etag, size } = server;
  const delay = Math.max(0, cut.slices[0]!.zero - source.start);
  return { ...{ object, etag, size, source }, ...encodes, slices: cut.slices, delay };
}
