import { type GoTool, goModFile, goTool } from "./go-tool.ts";

const VERSION = "v1.36.3";

/** Builds a Kubernetes API server, once. `MILLRACE_KUBE_APISERVER` names another one to use. */
export const installKubeApiserver = async (): Promise<string> =>
  process.env.MILLRACE_KUBE_APISERVER ?? (await goTool(KUBE_APISERVER));

/** Builds etcd, in which the API server keeps its objects, once. `MILLRACE_ETCD` names another one to use. */
export const installEtcd = async (): Promise<string> => process.env.MILLRACE_ETCD ?? (await goTool(ETCD));

const ETCD: GoTool = {
  name: "etcd",
  version: "v3.7.3",
  module: "go.etcd.io/etcd/server/v3",
  command: "go.etcd.io/etcd/server/v3",
};

const KUBE_APISERVER: GoTool = {
  name: "kube-apiserver",
  version: VERSION,
  module: "k8s.io/kubernetes",
  command: "k8s.io/kubernetes/cmd/kube-apiserver",
  versionVariable: "k8s.io/component-base/version.gitVersion",
  replace: stagingModules,
};

/**
 * The modules that Kubernetes develops in its own tree (`replace k8s.io/api => ./staging/src/k8s.io/api`) are published
 * too, as v0.36.3 for v1.36.3; whoever builds Kubernetes as a module has to name them.
 */
async function stagingModules(): Promise<string> {
  const published = VERSION.replace("v1.", "v0.");
  const modules = [...(await goModFile("k8s.io/kubernetes", VERSION)).matchAll(/^\s*(\S+) => \.\/staging\//gm)];
  return modules.map(([, module]) => `replace ${module} => ${module} ${published}\n`).join("");
}
