import { createHash, createHmac, randomUUID } from "node:crypto";
import type { Credentials } from "./account.ts";
import { encode, type HttpRequest, queryText, type Sign } from "./http.ts";

/*
 * The documented signatures of four protocols. The vendor's clients are tried against them in the tests and not
 * shipped: the one for OSS brings sixty packages, the one for Function Compute a megabyte of models for four calls,
 * and the one for queues is from 2017.
 */

const sha256 = (data: string | Uint8Array): string => createHash("sha256").update(data).digest("hex");
const hmac = (key: string | Buffer, text: string): Buffer => createHmac("sha256", key).update(text).digest();

/** Signature version 4 of OSS. https://www.alibabacloud.com/help/en/oss/developer-reference/recommend-to-use-signature-version-4 */
export const signOss =
  (bucket: string, region: string, credentials: () => Credentials): Sign =>
  ({ method, path, query, headers }, now) => {
    const { accessKeyId, accessKeySecret, securityToken } = credentials();
    const time = now.toISOString().replace(/[-:]|\.\d+/g, "");
    const date = time.slice(0, 8);
    const added = {
      "x-oss-date": time,
      "x-oss-content-sha256": "UNSIGNED-PAYLOAD",
      ...(securityToken && { "x-oss-security-token": securityToken }),
    };
    const signed = Object.entries({ ...headers, ...added })
      .filter(([name]) => name.startsWith("x-oss-") || name === "content-type" || name === "content-md5")
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([name, value]) => `${name}:${value.trim()}\n`)
      .join("");
    const canonical = [method, `/${bucket}${path}`, queryText(query), signed, "", "UNSIGNED-PAYLOAD"].join("\n");
    const scope = `${date}/${region}/oss/aliyun_v4_request`;
    const text = ["OSS4-HMAC-SHA256", time, scope, sha256(canonical)].join("\n");
    const key = ["oss", "aliyun_v4_request"].reduce(hmac, hmac(hmac(`aliyun_v4${accessKeySecret}`, date), region));
    const signature = hmac(key, text).toString("hex");
    return { ...added, authorization: `OSS4-HMAC-SHA256 Credential=${accessKeyId}/${scope},Signature=${signature}` };
  };

/** Signature version 3 of the OpenAPI. https://www.alibabacloud.com/help/en/sdk/product-overview/v3-request-structure-and-signature */
export const signOpenApi =
  (action: string, version: string, credentials: () => Credentials): Sign =>
  ({ method, origin, path, query, headers, body }, now) => {
    const { accessKeyId, accessKeySecret, securityToken } = credentials();
    const payload = sha256(body ?? "");
    const added = {
      host: new URL(origin).host,
      "x-acs-action": action,
      "x-acs-version": version,
      "x-acs-date": now.toISOString().replace(/\.\d+/, ""),
      "x-acs-signature-nonce": randomUUID(),
      "x-acs-content-sha256": payload,
      ...(securityToken && { "x-acs-security-token": securityToken, "x-acs-accesskey-id": accessKeyId }),
    };
    const signed = Object.entries({ ...headers, ...added })
      .filter(([name]) => name.startsWith("x-acs-") || name === "host" || name === "content-type")
      .sort(([one], [other]) => (one < other ? -1 : 1));
    const names = signed.map(([name]) => name).join(";");
    const canonical = [
      method,
      path,
      openApiQuery(query),
      signed.map(([name, value]) => `${name}:${value.trim()}\n`).join(""),
      names,
      payload,
    ].join("\n");
    const text = `ACS3-HMAC-SHA256\n${sha256(canonical)}`;
    const signature = hmac(accessKeySecret, text).toString("hex");
    const authorization = `ACS3-HMAC-SHA256 Credential=${accessKeyId},SignedHeaders=${names},Signature=${signature}`;
    return { ...added, authorization };
  };

/** As the signature of OSS writes it, but an empty value keeps its `=`. */
const openApiQuery = (query: HttpRequest["query"]): string =>
  Object.keys(query)
    .sort()
    .map((name) => `${encode(name)}=${encode(query[name]!)}`)
    .join("&");

/** The signature of Simple Message Queue. https://www.alibabacloud.com/help/en/mns/developer-reference/request-protocol-description */
export const signSmq =
  (credentials: () => Credentials): Sign =>
  ({ method, path, query, headers }, now) => {
    const { accessKeyId, accessKeySecret, securityToken } = credentials();
    const date = now.toUTCString();
    const search = queryText(query);
    const resource = search ? `${path}?${search}` : path;
    const text = [
      method,
      headers["content-md5"] ?? "",
      headers["content-type"] ?? "",
      date,
      `x-mns-version:${headers["x-mns-version"]}`,
      resource,
    ].join("\n");
    const signature = createHmac("sha1", accessKeySecret).update(text).digest("base64");
    return {
      date,
      ...(securityToken && { "security-token": securityToken }),
      authorization: `MNS ${accessKeyId}:${signature}`,
    };
  };

/** The signature of Log Service, of requests without a body. https://www.alibabacloud.com/help/en/sls/developer-reference/request-signatures */
export const signSls =
  (credentials: () => Credentials): Sign =>
  ({ method, path, query }, now) => {
    const { accessKeyId, accessKeySecret, securityToken } = credentials();
    const date = now.toUTCString();
    const added = {
      "x-log-apiversion": "0.6.0",
      "x-log-bodyrawsize": "0",
      "x-log-signaturemethod": "hmac-sha1",
      ...(securityToken && { "x-acs-security-token": securityToken }),
    };
    const signed = Object.entries(added)
      .map(([name, value]) => `${name}:${value}`)
      .sort();
    // As they mean, not as they are sent.
    const asked = Object.entries(query)
      .map(([name, value]) => `${name}=${value}`)
      .sort();
    const resource = asked.length === 0 ? path : `${path}?${asked.join("&")}`;
    const text = [method, "", "", date, ...signed, resource].join("\n");
    const signature = createHmac("sha1", accessKeySecret).update(text).digest("base64");
    return { ...added, date, authorization: `LOG ${accessKeyId}:${signature}` };
  };
