import { expect, test } from "vitest";
import type { KubernetesApi } from "../../../lib/clouds/kubernetes/runtime/api.ts";
import { Jobs } from "../../../lib/clouds/kubernetes/runtime/jobs.ts";

/** What is said of an attempt whose Job has failed, by a container of its pod. */
function inspected(statuses: object) {
  const job = { metadata: { name: "a" }, status: { conditions: [{ type: "Failed", status: "True", reason: "Any" }] } };
  const pod = { metadata: { name: "a-x1" }, status: { phase: "Failed", ...statuses } };
  const api = { find: async () => job, ask: async () => ({ items: [pod] }) } as unknown as KubernetesApi;
  return new Jobs(api, "shop", "reports", "reports-work").inspect({ task: "reports", id: "a", attempt: 1 });
}

const ended = (name: string, end: object) => [{ name, state: { terminated: end } }];

test("a pod that could not fetch its code is lost to the platform, and no attempt of the user's code", async () => {
  const message = "bootstrap: artifacts/code/1.zip at http://store:9000: the answer is: 404";
  expect(await inspected({ initContainerStatuses: ended("bootstrap", { exitCode: 1, message }) })).toEqual({
    error: { kind: "interrupted", message: `its pod a-x1 could not fetch its code: ${message}` },
  });
});

test("a program beside it, and the worker itself, fail", async () => {
  for (const statuses of [
    { initContainerStatuses: ended("image", { exitCode: 3 }) },
    { containerStatuses: ended("main", { exitCode: 137, reason: "OOMKilled" }) },
  ])
    expect(await inspected(statuses)).toMatchObject({ error: { kind: "failed" } });
});
