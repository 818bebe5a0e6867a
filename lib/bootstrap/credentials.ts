import { readFile } from "node:fs/promises";
import { reasonOf, retried, Unanswered } from "./retry.ts";

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** The container's: from the environment, else from the address or with the token that the environment names. */
export async function findCredentials(env: Environment, region: string): Promise<Credentials> {
  const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN } = env;
  if (AWS_ACCESS_KEY_ID && AWS_SECRET_ACCESS_KEY)
    return of(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN);
  if (env.AWS_CONTAINER_CREDENTIALS_RELATIVE_URI || env.AWS_CONTAINER_CREDENTIALS_FULL_URI) return fromContainer(env);
  if (env.AWS_WEB_IDENTITY_TOKEN_FILE && env.AWS_ROLE_ARN) return fromWebIdentity(env, region);
  throw new Error(
    "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or …_FULL_URI, " +
      "or AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN",
  );
}

function of(accessKeyId?: string, secretAccessKey?: string, sessionToken?: string): Credentials {
  if (!accessKeyId || !secretAccessKey) throw new Error("the answer to the request for credentials has none");
  return { accessKeyId, secretAccessKey, ...(sessionToken && { sessionToken }) };
}

/** Fargate's and EKS Pod Identity's. https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html */
async function fromContainer(env: Environment): Promise<Credentials> {
  const relative = env.AWS_CONTAINER_CREDENTIALS_RELATIVE_URI;
  const url = new URL(relative ? `http://169.254.170.2${relative}` : env.AWS_CONTAINER_CREDENTIALS_FULL_URI!);
  if (url.protocol !== "https:" && !NEAR.includes(url.hostname)) {
    throw new Error(`AWS_CONTAINER_CREDENTIALS_FULL_URI: ${url} is neither https nor an address of this machine`);
  }
  const file = env.AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE;
  const token = file ? (await readFile(file, "utf8")).trim() : env.AWS_CONTAINER_AUTHORIZATION_TOKEN;
  const answer = JSON.parse(await ask(url, { headers: token ? { authorization: token } : {} }));
  return of(answer.AccessKeyId, answer.SecretAccessKey, answer.Token);
}

/** Hosts that may be sent the token in clear text: this one, and the two by which AWS answers from the machine itself. */
const NEAR = ["localhost", "127.0.0.1", "[::1]", "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];

/** A service account's token for a role's credentials. https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html */
async function fromWebIdentity(env: Environment, region: string): Promise<Credentials> {
  const body = new URLSearchParams({
    Action: "AssumeRoleWithWebIdentity",
    Version: "2011-06-15",
    RoleArn: env.AWS_ROLE_ARN!,
    RoleSessionName: env.AWS_ROLE_SESSION_NAME ?? "millrace",
    WebIdentityToken: (await readFile(env.AWS_WEB_IDENTITY_TOKEN_FILE!, "utf8")).trim(),
  });
  const domain = region.startsWith("cn-") ? "amazonaws.com.cn" : "amazonaws.com";
  const xml = await ask(new URL(env.AWS_ENDPOINT_URL_STS ?? `https://sts.${region}.${domain}/`), {
    method: "POST",
    body,
  });
  const field = (name: string) => new RegExp(`<${name}>([^<]*)<`).exec(xml)?.[1];
  return of(field("AccessKeyId"), field("SecretAccessKey"), field("SessionToken"));
}

async function ask(url: URL, request: RequestInit): Promise<string> {
  try {
    return await retried(async () => {
      const answer = await fetch(url, { ...request, redirect: "error", signal: AbortSignal.timeout(5000) });
      if (!answer.ok) throw new Unanswered("the answer is", answer.status);
      return answer.text();
    });
  } catch (error) {
    throw new Error(`credentials from ${url.origin}: ${reasonOf(error as Error)}`);
  }
}
