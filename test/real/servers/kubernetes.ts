import { generateKeyPairSync, randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { get } from "node:https";
import { join } from "node:path";
import {
  ApiextensionsV1Api,
  KubeConfig,
  KubernetesObjectApi,
  loadYaml,
  PatchStrategy,
  type V1CustomResourceDefinition,
} from "@kubernetes/client-node";
import { goModule } from "../install/go-tool.ts";
import { installEtcd, installKubeApiserver } from "../install/kubernetes.ts";
import { type Server, startServer, withFreePorts } from "./server.ts";

export interface KubernetesServer extends Server {
  /** `https://127.0.0.1:<port>`, with a certificate that it made itself. */
  readonly url: string;
  /** Bearer token of somebody who may do everything. */
  readonly adminToken: string;
  /** Bearer token of a user who is known, named `nobody`, and may do nothing. */
  readonly nobodyToken: string;
  /** The configuration of a client that has this token. @default the administrator's */
  config(token?: string): KubeConfig;
  /** The administrator's configuration as the text of a `kubeconfig` file. */
  readonly kubeconfig: string;
}

/**
 * A Kubernetes API server with RBAC, and nothing that would act on what it stores: no pod runs, no namespace gets its
 * default service account, what is asked of it is checked, stored, and stays.
 */
export async function startKubernetes(): Promise<KubernetesServer> {
  const [etcdCommand, command] = await Promise.all([installEtcd(), installKubeApiserver()]);
  const etcd = await startEtcd(etcdCommand);
  try {
    const apiserver = await startApiserver(command, etcd.url);
    return {
      ...apiserver,
      stop: () => apiserver.stop().finally(etcd.stop),
    };
  } catch (error) {
    await etcd.stop();
    throw error;
  }
}

function startEtcd(command: string): Promise<Server & { readonly url: string }> {
  return withFreePorts(2, async (port, peerPort) => {
    const url = `http://127.0.0.1:${port}`;
    const peer = `http://127.0.0.1:${peerPort}`;
    const server = await startServer({
      name: "etcd",
      command,
      args: (folder) => [
        ...["--data-dir", join(folder, "data"), "--listen-client-urls", url, "--advertise-client-urls", url],
        ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", `default=${peer}`],
        "--unsafe-no-fsync", // nobody will want these data after a power cut
      ],
      ready: async () => (await fetch(`${url}/health`)).ok,
    });
    return { url, ...server };
  });
}

function startApiserver(command: string, etcdUrl: string): Promise<KubernetesServer> {
  const [adminToken, nobodyToken] = [randomBytes(16).toString("hex"), randomBytes(16).toString("hex")];
  return withFreePorts(1, async (port) => {
    const url = `https://127.0.0.1:${port}`;
    const server = await startServer({
      name: "kube-apiserver",
      command,
      args: (folder) => {
        const { key, tokens } = writeSecrets(folder, adminToken, nobodyToken);
        return [
          ...["--etcd-servers", etcdUrl, "--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1"],
          ...["--secure-port", `${port}`, "--cert-dir", join(folder, "certificates")],
          ...["--authorization-mode", "RBAC", "--token-auth-file", tokens, "--anonymous-auth=true"],
          ...["--service-account-issuer", ISSUER, "--service-account-key-file", key],
          ...["--service-account-signing-key-file", key, "--service-cluster-ip-range", "10.0.0.0/24"],
        ];
      },
      ready: () => isReady(url),
    });
    const config = (token = adminToken) => configOf(url, token);
    return { url, adminToken, nobodyToken, config, kubeconfig: config().exportConfig(), ...server };
  });
}

const ISSUER = "https://kubernetes.default.svc";

/** The key that service accounts' tokens are signed with, and who may come in with which token. */
function writeSecrets(folder: string, adminToken: string, nobodyToken: string) {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const [key, tokens] = [join(folder, "service-accounts.pem"), join(folder, "tokens.csv")];
  writeFileSync(key, privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
  // token, user, uid, groups. https://kubernetes.io/docs/reference/access-authn-authz/authentication/#static-token-file
  writeFileSync(tokens, `${adminToken},admin,1,"system:masters"\n${nobodyToken},nobody,2\n`, { mode: 0o600 });
  return { key, tokens };
}

/** Then the roles that RBAC begins with are there too. https://kubernetes.io/docs/reference/using-api/health-checks/ */
function isReady(url: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const request = get(`${url}/readyz`, { rejectUnauthorized: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    request.once("error", reject);
  });
}

function configOf(url: string, token: string): KubeConfig {
  const config = new KubeConfig();
  config.loadFromOptions({
    clusters: [{ name: "test", server: url, skipTLSVerify: true }],
    users: [{ name: "test", token }],
    contexts: [{ name: "test", cluster: "test", user: "test" }],
    currentContext: "test",
  });
  return config;
}

const KEDA = { module: "github.com/kedacore/keda/v2", version: "v2.21.0" };

/** Makes the kinds of KEDA known to a server (`ScaledObject`, `ScaledJob`, `TriggerAuthentication`, …), and waits until they are. */
export async function applyKedaCrds({ config }: KubernetesServer): Promise<void> {
  const folder = join(await goModule(KEDA.module, KEDA.version), "config/crd/bases");
  const files = (await readdir(folder)).filter((file) => file.startsWith("keda.sh_")).sort();
  const client = KubernetesObjectApi.makeApiClient(config());
  for (const file of files) {
    // By the client's own reader: others drop some of the keys `x-kubernetes-…`.
    const definition = loadYaml<V1CustomResourceDefinition>(await readFile(join(folder, file), "utf8"));
    await client.patch(definition, undefined, undefined, "test", true, PatchStrategy.ServerSideApply);
    await established(config().makeApiClient(ApiextensionsV1Api), definition.metadata!.name!);
  }
}

async function established(client: ApiextensionsV1Api, name: string): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (performance.now() < deadline) {
    const { status } = await client.readCustomResourceDefinition({ name });
    if (status?.conditions?.some(({ type, status }) => type === "Established" && status === "True")) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`the API server does not serve ${name} within 30 seconds`);
}
