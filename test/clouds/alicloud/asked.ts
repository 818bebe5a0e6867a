import type { Asked, Guard } from "../policies.ts";
import type { FakeRequest, FakeServer } from "./fakes/server.ts";
import { tableOf } from "./fakes/tablestore.ts";
import { ACCOUNT, REGION } from "./stack.ts";

export type Service = "oss" | "smq" | "tablestore" | "fc" | "kms";

/** Has a fake forbid what its caller's policy does not allow; who has no role of its own is an operator and may do all. */
export function guardFake(server: FakeServer, service: Service, guard: Guard): void {
  server.forbids = (request) => {
    const caller = callerOf(request);
    return caller !== undefined && !guard.allows(caller, ASKED[service](request));
  };
}

/** The role whose keys signed a request. */
function callerOf({ headers }: FakeRequest): string | undefined {
  const names = ["x-oss-security-token", "security-token", "x-ots-ststoken", "x-acs-security-token"];
  return names.map((name) => headers[name]?.split("/")[1]).find((role) => role !== undefined);
}

const arn = (service: string, resource: string): string => `acs:${service}:${REGION}:${ACCOUNT}:${resource}`;

/** What a request asks for, as each service's own page on permissions says it. */
const ASKED: Readonly<Record<Service, (request: FakeRequest) => Asked>> = {
  /**
   * A look at an object's headers is a get of it, and all of an upload in parts is a put, but for its abort.
   *
   * https://www.alibabacloud.com/help/en/oss/user-guide/ram-policy-overview
   */
  oss({ method, path, query }) {
    const [, bucket = "", key = ""] = /^\/([^/]+)\/?(.*)$/s.exec(decodeURIComponent(path)) ?? [];
    const verb =
      key === ""
        ? "ListObjects"
        : method === "DELETE"
          ? query.uploadId === undefined
            ? "DeleteObject"
            : "AbortMultipartUpload"
          : method === "GET" || method === "HEAD"
            ? query.uploadId === undefined
              ? "GetObject"
              : "ListParts"
            : "PutObject";
    return { action: `oss:${verb}`, resource: arn("oss", key === "" ? bucket : `${bucket}/${key}`) };
  },
  /** https://www.alibabacloud.com/help/en/mns/developer-reference/batchreceivemessage, and the pages beside it */
  smq({ method, path, query }) {
    const verbs: Readonly<Record<string, string>> = {
      POST: "SendMessage",
      GET: query.numOfMessages === undefined ? "ReceiveMessage" : "BatchReceiveMessage",
      DELETE: "DeleteMessage",
      PUT: "ChangeMessageVisibility",
    };
    return { action: `mns:${verbs[method]}`, resource: arn("mns", path) };
  },
  /** https://www.alibabacloud.com/help/en/tablestore/developer-reference/ram-policies */
  tablestore: (request) => ({
    action: `ots:${request.path.slice(1)}`,
    resource: arn("ots", `instance/${request.headers["x-ots-instancename"]}/table/${tableOf(request)}`),
  }),
  /** https://www.alibabacloud.com/help/en/functioncompute/fc/policies-and-sample-policies */
  fc({ method, path }) {
    const [, name = "", task] =
      /^\/2023-03-30\/functions\/([^/]+)\/(?:invocations|async-tasks\/([^/]+))/.exec(path) ?? [];
    if (task === undefined) return { action: "fc:InvokeFunction", resource: arn("fc", `functions/${name}`) };
    const action = method === "PUT" ? "fc:StopAsyncTask" : "fc:GetAsyncTask";
    return { action, resource: arn("fc", `functions/${name}/async-tasks/${task}`) };
  },
  /** https://www.alibabacloud.com/help/en/kms/key-management-service/support/use-ram-to-control-access-to-kms-resources */
  kms: ({ headers, query }) => ({
    action: `kms:${headers["x-acs-action"]}`,
    resource: arn("kms", `secret/${query.SecretName}`),
  }),
};
