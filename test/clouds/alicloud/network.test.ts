import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { alicloud } from "../../../lib/clouds/alicloud/index.ts";
import { VideoTranscodePipeline } from "../../../lib/index.ts";
import { type Cloud, Construct, code, mount } from "../../../lib/parts/index.ts";
import type { RegisteredResource } from "../../../lib/program/mocks.ts";
import { synthesize } from "../../../lib/testing/synthesize.ts";
import { tool } from "../tools.ts";
import { ACCOUNT, deploy, inputsOf, listOf, ofType, REGION, unzipped } from "./stack.ts";

let home: string;
const before = process.cwd();
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "millrace-network-"));
  process.chdir(home);
});
afterAll(async () => {
  process.chdir(before);
  await rm(home, { recursive: true, force: true });
});

const echo = code<{ handler: (event: unknown, context: unknown) => Promise<unknown> }>(
  new URL("./functions/echo.ts", import.meta.url),
);

/** Two volumes, one of which two functions only read. */
class Library extends Construct {
  constructor(cloud: Cloud, existing?: string) {
    super("Library", "library", { cloud });
    const books = this.volume("books", { ...(existing !== undefined && { existing }) });
    const notes = this.volume("notes", { removable: true });
    const handler = { handler: echo };
    this.function("write", { ...handler, links: { books: mount(books), notes: mount(notes) } } as never);
    this.function("read", {
      ...handler,
      links: { books: mount(books, { readOnly: true }), notes: mount(notes) },
    } as never);
    this.function("search", { ...handler, links: { books: mount(books, { readOnly: true }) } } as never);
    this.function("both", {
      ...handler,
      links: { all: mount(books), some: mount(books, { readOnly: true }) },
    } as never);
    this.function("apart", handler as never);
    this.build();
  }
}

describe("volumes without a network of the user's", () => {
  let resources: readonly RegisteredResource[];
  beforeAll(async () => {
    resources = await deploy((cloud) => new Library(cloud));
  });

  test("one network is made, in a zone that has functions, and stays in it", () => {
    const name = `alicloud-${REGION}-network`;
    const made = listOf(resources).filter((one) => /^(Network|Switch|SecurityGroup|MountTarget|FileSystem) /.test(one));
    expect(made).toEqual([
      "FileSystem library-books",
      "FileSystem library-notes",
      "MountTarget library-books-mount",
      "MountTarget library-books-read-mount",
      "MountTarget library-notes-mount",
      `Network ${name}`,
      `SecurityGroup ${name}-group`,
      `Switch ${name}-switch`,
    ]);
    const { vpcName, cidrBlock, tags } = inputsOf(resources, "Network", name);
    expect(inputsOf(resources, "Switch", `${name}-switch`)).toEqual({
      vpcId: vpcName,
      cidrBlock,
      zoneId: `${REGION}-h`,
      tags,
    });
    expect(inputsOf(resources, "SecurityGroup", `${name}-group`)).toMatchObject({ vpcId: vpcName });
  });

  test("whoever is in the network reaches a mount target, and nobody else", () => {
    const { cidrBlock } = inputsOf(resources, "Network", `alicloud-${REGION}-network`);
    const { accessGroupName } = inputsOf(resources, "AccessGroup", "library-books-access");
    expect(inputsOf(resources, "AccessRule", "library-books-access-rule")).toMatchObject({
      accessGroupName,
      sourceCidrIp: cidrBlock,
      rwAccessType: "RDWR",
    });
    const rules = ofType(resources, "AccessRule").map(({ name, inputs }) => [name, inputs.rwAccessType]);
    expect(rules.toSorted()).toEqual([
      ["library-books-access-rule", "RDWR"],
      ["library-books-read-access-rule", "RDONLY"],
      ["library-notes-access-rule", "RDWR"],
    ]);
    const groups = ofType(resources, "AccessGroup").map(({ inputs }) => inputs.accessGroupName);
    expect(new Set(groups).size).toBe(3);
    expect(inputsOf(resources, "MountTarget", "library-books-read-mount")).toMatchObject({
      fileSystemId: inputsOf(resources, "MountTarget", "library-books-mount").fileSystemId,
      accessGroupName: inputsOf(resources, "AccessGroup", "library-books-read-access").accessGroupName,
      networkType: "Vpc",
    });
  });

  test("functions that mount one are in the network, once for each volume, with a way out; others are not", () => {
    const network = `alicloud-${REGION}-network`;
    const vpcConfig = {
      vpcId: inputsOf(resources, "Network", network).vpcName,
      vswitchIds: [`vsw-${network}-switch`],
      securityGroupId: `sg-${network}-group`,
    };
    const at = (target: string, volume: string) => ({
      serverAddr: `${target}.${REGION}.nas.aliyuncs.com:/`,
      mountDir: `/mnt/library-${volume}`,
    });
    const mounts = (name: string) => {
      const { nasConfig, ...rest } = inputsOf(resources, "V3Function", `library-${name}`);
      expect(rest).toMatchObject({ vpcConfig, internetAccess: true });
      return nasConfig.mountPoints;
    };
    const [books, reading, notes] = ["library-books-mount", "library-books-read-mount", "library-notes-mount"] as const;
    expect(mounts("write")).toEqual([at(books, "books"), at(notes, "notes")]);
    expect(mounts("read")).toEqual([at(reading, "books"), at(notes, "notes")]);
    expect(mounts("search")).toEqual([at(reading, "books")]);
    expect(mounts("both")).toEqual([at(books, "books")]);
    const apart = inputsOf(resources, "V3Function", "library-apart");
    expect([apart.vpcConfig, apart.nasConfig]).toEqual([undefined, undefined]);
  });

  test("a file system of the user's is not made read-only, and that is said", async () => {
    const network = { vpc: "vpc-1", vswitch: "vsw-1", securityGroup: "sg-1" };
    const settings = { region: REGION, account: ACCOUNT, existing: { network } };
    const { problems } = await synthesize(() => new Library(alicloud(settings), "fs.nas.aliyuncs.com"));
    expect(problems.map(({ path }) => path)).toEqual([
      "library-read.links.books",
      "library-search.links.books",
      "library-both.links.some",
    ]);
  });
});

describe("tools without a layer of the user's", () => {
  const pipeline = (cloud: Cloud) => new VideoTranscodePipeline("videos", { cloud, formats: ["mp4"] });

  test("each is one layer, of an archive by its hash, for whoever uses it", async () => {
    const settings = { tools: { ffmpeg: tool("ffmpeg"), ffprobe: tool("ffprobe") }, existing: { layers: {} } };
    const resources = await deploy(pipeline, settings);
    const names = ["ffmpeg", "ffprobe"].map((one) => `alicloud-${REGION}-layer-${one}`);
    const made = ofType(resources, "V3LayerVersion").map(({ name }) => name);
    expect(made.toSorted()).toEqual(names);
    for (const [index, name] of names.entries()) {
      const { layerName, code, compatibleRuntimes } = inputsOf(resources, "V3LayerVersion", name);
      expect([layerName, compatibleRuntimes]).toEqual([expect.stringMatching(/^layer-ff\w+-\w+$/), ["nodejs20"]]);
      const { bucket, key, source } = inputsOf(resources, "BucketObject", `${name}-code`);
      expect(code).toEqual({ ossBucketName: bucket, ossObjectName: key });
      expect(key).toMatch(/^layers\/[\w-]+\/[0-9a-f]{16,64}\.zip$/);
      const program = ["ffmpeg", "ffprobe"][index]!;
      const files = unzipped(source);
      expect(Object.keys(files)).toEqual([`bin/${program}`]);
      expect(Buffer.from(files[`bin/${program}`]!).toString()).toBe(program);
    }
    const { layers, environmentVariables } = inputsOf(resources, "V3Function", "videos-transcode-work");
    expect(layers).toEqual(
      names.map((name) => {
        const { layerName } = inputsOf(resources, "V3LayerVersion", name);
        return `acs:fc:${REGION}:${ACCOUNT}:layers/${layerName}/versions/1`;
      }),
    );
    expect(JSON.parse(environmentVariables.MILLRACE_TOOLS)).toEqual({
      ffmpeg: "/opt/bin/ffmpeg",
      ffprobe: "/opt/bin/ffprobe",
    });
  });
});
