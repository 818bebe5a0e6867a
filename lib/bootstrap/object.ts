import { createHash, createHmac } from "node:crypto";
import { createWriteStream } from "node:fs";
import http, { type IncomingMessage } from "node:http";
import https from "node:https";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Credentials } from "./credentials.ts";
import type { FetchManifest } from "./manifest.ts";
import { Final, reasonOf, retried, Unanswered } from "./retry.ts";

/** Milliseconds without a byte after which a connection counts as cut. */
const SILENCE = 20_000;

/**
 * Streams an object to a file, and again from its beginning if it is cut.
 *
 * @throws an error that names the object, if it cannot be fetched or is not what its hash says.
 */
export async function fetchObject(
  manifest: FetchManifest,
  object: { readonly key: string; readonly sha256: string },
  file: string,
  credentials: () => Promise<Credentials>,
): Promise<void> {
  const name = `${manifest.bucket}/${object.key}`;
  const keys = await credentials();
  const url = urlOf(manifest, object.key);
  try {
    await retried(async () => {
      const found = await download(url, sign(url, manifest.region, keys, new Date()), file);
      if (found !== object.sha256) throw new Final(`its sha256 is ${found}, not ${object.sha256}`);
    });
  } catch (error) {
    throw new Error(`${name} at ${url.origin}: ${reasonOf(error as Error)}`);
  }
}

function urlOf({ endpoint, region, bucket }: FetchManifest, key: string): URL {
  const path = key.split("/").map(encode).join("/");
  if (endpoint) return new URL(`/${bucket}/${path}`, endpoint);
  const domain = `s3.${region}.amazonaws.com${region.startsWith("cn-") ? ".cn" : ""}`;
  // A name with dots does not fit the host's certificate.
  return new URL(bucket.includes(".") ? `https://${domain}/${bucket}/${path}` : `https://${bucket}.${domain}/${path}`);
}

/** As signature version 4 wants it: four characters more than JavaScript encodes. */
const encode = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
const hmac = (key: string | Buffer, text: string): Buffer => createHmac("sha256", key).update(text).digest();

/** A GET's headers. https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html */
function sign(url: URL, region: string, keys: Credentials, now: Date): Record<string, string> {
  const time = now.toISOString().replace(/[-:]|\.\d+/g, "");
  const headers: Record<string, string> = {
    host: url.host,
    "x-amz-content-sha256": sha256(""),
    "x-amz-date": time,
    ...(keys.sessionToken && { "x-amz-security-token": keys.sessionToken }),
  };
  const names = Object.keys(headers).join(";"); // in the order of the alphabet already
  const lines = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`);
  const canonical = ["GET", url.pathname, "", lines.join(""), names, sha256("")].join("\n");
  const scope = [time.slice(0, 8), region, "s3", "aws4_request"];
  const text = ["AWS4-HMAC-SHA256", time, scope.join("/"), sha256(canonical)].join("\n");
  const signature = hmac(scope.reduce<string | Buffer>(hmac, `AWS4${keys.secretAccessKey}`) as Buffer, text);
  const credential = `${keys.accessKeyId}/${scope.join("/")}`;
  const authorization = `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${names}, Signature=${signature.toString("hex")}`;
  return { ...headers, authorization };
}

/** @returns the sha256 of what was written. */
async function download(url: URL, headers: Record<string, string>, file: string): Promise<string> {
  const answer = await get(url, headers);
  if (answer.statusCode !== 200) {
    answer.destroy();
    throw new Unanswered("the answer is", answer.statusCode!);
  }
  const hash = createHash("sha256");
  const hashed = new Transform({
    transform(chunk: Buffer, _, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
  await pipeline(answer, hashed, createWriteStream(file));
  return hash.digest("hex");
}

/**
 * Not by `fetch`: on Node 24 a failed assertion in it ends the process if the store closes the connection while the
 * network is quicker than the disk. https://github.com/nodejs/undici/issues/5360
 */
function get(url: URL, headers: Record<string, string>): Promise<IncomingMessage> {
  const { request } = url.protocol === "https:" ? https : http;
  return new Promise((resolve, reject) => {
    const asked = request(url, { headers, agent: false, timeout: SILENCE }, resolve);
    asked.once("timeout", () => asked.destroy(new Error(`no byte for ${SILENCE / 1000} seconds`)));
    asked.on("error", reject).end();
  });
}
