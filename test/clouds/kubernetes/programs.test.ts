import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { unzipSync } from "fflate";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { kubernetes } from "../../../lib/clouds/kubernetes/index.ts";
import { type Cloud, Construct, image, python } from "../../../lib/parts/index.ts";
import type { RegisteredResource } from "../../../lib/program/mocks.ts";
import { PYTHON_SERVER } from "../../../lib/shared/program/python.ts";
import { synthesize } from "../../../lib/testing/synthesize.ts";
import { REFERENCE, scores } from "../programs.ts";
import { deploy, inputsOf, listOf, settingsOf } from "./stack.ts";

let home: string;
const before = process.cwd();
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "millrace-programs-"));
  process.chdir(home);
});
afterAll(async () => {
  process.chdir(before);
  await rm(home, { recursive: true, force: true });
});

const GPU = { type: "NVIDIA-A10", memory: 20 * 2 ** 30 };
const handler = { file: join(import.meta.dirname, "../../local/programs/scores.ts") };

/** A function, not a task, with two Python functions beside it. */
class Calling extends Construct {
  constructor(cloud: Cloud, ports: readonly number[] = [9001], types: readonly string[] = []) {
    super("Calling", "calling", { cloud });
    const operators = new URL("../operators/", import.meta.url);
    const images = ports.map((port, index) => {
      const gpu = types[index] === undefined ? {} : { gpu: { ...GPU, type: types[index] } };
      return [`image${index + 1}`, image(REFERENCE, { port, ...gpu })] as const;
    });
    const code = { one: python(operators, "clean:rows"), two: python(operators, "clean:rows") };
    this.function("all", { handler, code: { ...code, ...Object.fromEntries(images) } } as never);
    this.build();
  }
}

describe("programs of a handler's code", () => {
  let resources: readonly RegisteredResource[];
  // biome-ignore lint/suspicious/noExplicitAny: a test looks at what is there
  let pod: any;
  beforeAll(async () => {
    resources = await deploy(
      (cloud) =>
        scores(
          cloud,
          { command: ["serve", "$(HOME)"], port: 8000, memory: "4 GB", cpu: 1, gpu: GPU, timeout: "5 minutes" },
          { clean: { timeout: "30 seconds", memory: "256 MB" } },
        ),
      { pullSecrets: ["registry"] },
    );
    pod = inputsOf(resources, "CronJob", "scores-task-work").spec.jobTemplate.spec.template.spec;
  });

  test("are containers that are there before the worker and go with it", () => {
    expect(pod.initContainers.map(({ name }: { name: string }) => name)).toEqual([
      "bootstrap",
      "program-1",
      "program-2",
    ]);
    expect(pod.containers.map(({ name }: { name: string }) => name)).toEqual(["main"]);
    expect(pod.initContainers[1]).toEqual({
      name: "program-1",
      image: REFERENCE,
      restartPolicy: "Always",
      args: ["serve", "$$(HOME)"],
      env: [{ name: "PORT", value: "8000" }],
      resources: {
        requests: { cpu: "1000m", memory: "4Gi", "ephemeral-storage": expect.any(String), "nvidia.com/gpu": "1" },
        limits: { cpu: "1000m", memory: "4Gi", "ephemeral-storage": expect.any(String), "nvidia.com/gpu": "1" },
      },
      securityContext: {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ["ALL"] },
      },
      volumeMounts: [{ name: "tmp-program-1", mountPath: "/tmp" }],
    });
    expect(pod.imagePullSecrets).toEqual([{ name: "registry" }]);
    expect(pod.volumes).toContainEqual({ name: "tmp-program-1", emptyDir: { sizeLimit: "512Mi" } });
    expect(listOf(resources).filter((line) => /work-(score|clean)/.test(line))).toEqual([
      "BucketObjectv2 scores-task-work-clean-code",
    ]);
  });

  test("the graphics processor is the one that is asked for", () => {
    const { nodeSelectorTerms } = pod.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution;
    expect(nodeSelectorTerms).toEqual([
      {
        matchExpressions: [
          { key: "nvidia.com/gpu.product", operator: "In", values: ["NVIDIA-A10"] },
          { key: "nvidia.com/gpu.memory", operator: "Gt", values: ["20479"] },
        ],
      },
    ]);
  });

  test("a Python function is served from what the bootstrap fetches", async () => {
    const [bootstrap, , program] = pod.initContainers;
    const fetch = bootstrap.env.find(({ name }: { name: string }) => name === "MILLRACE_FETCH");
    const { key, source } = inputsOf(resources, "BucketObjectv2", "scores-task-work-clean-code");
    expect(JSON.parse(fetch.value).files).toContainEqual({
      key,
      sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      as: "code",
      name: "program-2",
    });
    const { path } = source as { readonly path: Promise<string> };
    expect(Object.keys(unzipSync(await readFile(await path)))).toEqual(["folder/clean.py"]);
    expect(program).toMatchObject({
      image: "docker.io/library/python:3.13-slim",
      command: ["python3", "-c", PYTHON_SERVER, "clean:rows"],
      env: [
        { name: "PORT", value: "9001" },
        { name: "PYTHONPATH", value: "/millrace/app/program-2/folder:/millrace/app/program-2/libraries" },
        { name: "PYTHONDONTWRITEBYTECODE", value: "1" },
      ],
      volumeMounts: [
        { name: "app", mountPath: "/millrace/app", readOnly: true },
        { name: "tmp-program-2", mountPath: "/tmp" },
      ],
    });
  });

  test("the worker knows where each of them listens", () => {
    const links = pod.containers[0].env
      .filter(({ name }: { name: string }) => name.startsWith("MILLRACE_LINK_") && name.includes("code"))
      .map(({ value }: { value: string }) => JSON.parse(value.replaceAll("$$", "$")));
    const at = (part: string, port: number, timeout: string) => ({
      kind: "function",
      part: `scores-task-work-${part}`,
      url: `http://127.0.0.1:${port}`,
      timeout,
    });
    expect(links).toEqual([at("score", 8000, "300"), at("clean", 9001, "30")]);
  });
});

test("a function has them in its pods as well; a Python function listens where no image does", async () => {
  const resources = await deploy((cloud) => new Calling(cloud, [9001]));
  const pod = inputsOf(resources, "Deployment", "calling-all").spec.template.spec;
  const ports = pod.initContainers
    .slice(1)
    .map(({ env }: { env: { name: string; value: string }[] }) => env.find(({ name }) => name === "PORT")?.value);
  expect(ports).toEqual(["9000", "9002", "9001"]);
  expect(pod.affinity).toBeUndefined();
  expect(pod.imagePullSecrets).toBeUndefined();
});

describe("what is refused", () => {
  const problemsOf = async (declare: (cloud: Cloud) => unknown) =>
    (await synthesize(() => declare(kubernetes(settingsOf())))).problems;

  test("two programs on one port, and one on the port where Kubernetes asks", async () => {
    expect(await problemsOf((cloud) => new Calling(cloud, [8000, 8000, 8080]))).toMatchObject([
      { path: "calling-all-image2.program.image.port", given: 8000 },
      { path: "calling-all-image3.program.image.port", given: 8080 },
    ]);
  });

  test("a graphics processor that no label names, and two on one node", async () => {
    expect(await problemsOf((cloud) => new Calling(cloud, [8000, 8001], ["an A10", "Tesla-T4"]))).toMatchObject([
      { path: "calling-all-image1.program.image.gpu.type", given: "an A10" },
      { path: "calling-all-image2.program.image.gpu.type", given: "Tesla-T4", allowed: "an A10" },
    ]);
  });
});
