import { openApiError as error, isSigned } from "./open-api.ts";
import { type FakeAnswer, type FakeRequest, FakeServer } from "./server.ts";

/**
 * Key Management Service's OpenAPI on the wire: `GetSecretValue`, whose values are text, or bytes as base64. Signatures
 * are checked by the vendor's own client.
 *
 * @see https://www.alibabacloud.com/help/en/kms/key-management-service/developer-reference/api-kms-2016-01-20-getsecretvalue
 */
export class FakeKms {
  readonly server = new FakeServer((request) => this.#answer(request));
  readonly secrets = new Map<string, string | Buffer>();
  /** Secrets under a key that the caller may not decrypt with. */
  readonly locked = new Set<string>();

  #answer(request: FakeRequest): FakeAnswer {
    if (!isSigned(request, "2016-01-20")) return error(400, "SignatureDoesNotMatch");
    if (this.server.forbids(request)) return error(403, "Forbidden.RAM");
    const { "x-acs-action": action } = request.headers;
    const isCall = (request.method === "POST" || request.method === "GET") && request.path === "/";
    if (!isCall || action !== "GetSecretValue") return error(400, "UnsupportedOperation");
    const { SecretName } = request.query;
    if (!SecretName) return error(400, "MissingParameter");
    const value = this.secrets.get(SecretName);
    if (value === undefined) return error(404, "Forbidden.ResourceNotFound");
    if (this.locked.has(SecretName)) return error(403, "Forbidden.NoPermission");
    const isText = typeof value === "string";
    const body = {
      SecretName,
      VersionId: "v1",
      SecretData: isText ? value : value.toString("base64"),
      SecretDataType: isText ? "text" : "binary",
      VersionStages: { VersionStage: ["ACSCurrent"] },
      SecretType: "Generic",
      RequestId: "6a3e9c36-1150-4881-84d3-eb8672fcafad",
    };
    return { status: 200, headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  }
}
