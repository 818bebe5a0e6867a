import { createHash } from "node:crypto";
import { OpenApiUtil } from "@alicloud/openapi-core";
import { type FakeAnswer, type FakeRequest, isToken, KEYS } from "./server.ts";

/** Whether a request of that version of an API is signed as the vendor's own client signs it. */
export function isSigned({ method, path, query, headers, body }: FakeRequest, version: string): boolean {
  if (!isToken(headers["x-acs-security-token"]) || headers["x-acs-version"] !== version) return false;
  const payload = createHash("sha256").update(body).digest("hex");
  if (headers["x-acs-content-sha256"] !== payload) return false;
  const request = { method, pathname: path, query, headers };
  const { accessKeyId, accessKeySecret } = KEYS;
  const wanted = OpenApiUtil.getAuthorization(
    request as never,
    "ACS3-HMAC-SHA256",
    payload,
    accessKeyId,
    accessKeySecret,
  );
  return headers.authorization === wanted;
}

export const openApiError = (status: number, code: string): FakeAnswer => ({
  status,
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ Code: code, Message: code, RequestId: "r" }),
});
