import type { RegisteredResource } from "../../../lib/program/mocks.ts";
import type { Asked, PolicyDocument } from "../policies.ts";
import { inputsOf, ofType } from "./stack.ts";

/** A request as a service sees it. */
export interface SeenRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: Buffer;
}

/** Where the services are. */
export interface AwsPlace {
  readonly region: string;
  readonly account: string;
}

/**
 * What a request asks for: calls of services that speak JSON are named in a header, and the action is the operation.
 *
 * https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
 */
export function askedOf(request: SeenRequest, { region, account }: AwsPlace): readonly Asked[] {
  const arn = (service: string, resource: string) => `arn:aws:${service}:${region}:${account}:${resource}`;
  const [service, operation] = String(request.headers["x-amz-target"] ?? "").split(".");
  if (service === "") return askedOfRest(request, arn);
  const body = JSON.parse(request.body.toString()) as Readonly<Record<string, string>>;
  switch (service) {
    case "DynamoDB_20120810":
      return [{ action: `dynamodb:${operation}`, resource: arn("dynamodb", `table/${body.TableName}`) }];
    case "AmazonSQS":
      return [{ action: `sqs:${operation}`, resource: arn("sqs", body.QueueUrl!.split("/").at(-1)!) }];
    case "AWSStepFunctions":
      return [{ action: `states:${operation}`, resource: body.stateMachineArn ?? body.executionArn! }];
    case "secretsmanager":
      // What is asked for by its name has six characters more.
      return [
        { action: `secretsmanager:${operation}`, resource: arn("secretsmanager", `secret:${body.SecretId}-Ab12Cd`) },
      ];
    default:
      throw new Error(`nobody knows what ${service}.${operation} asks for`);
  }
}

const LAMBDA = /^\/2015-03-31\/functions\/([^/]+)\/invocations/;

/** Whether Lambda is asked. */
export const isLambda = ({ path }: Pick<SeenRequest, "path">): boolean => LAMBDA.test(path);

function askedOfRest(request: SeenRequest, arn: (service: string, resource: string) => string): readonly Asked[] {
  const [, name] = LAMBDA.exec(request.path) ?? [];
  if (name !== undefined) return [{ action: "lambda:InvokeFunction", resource: arn("lambda", `function:${name}`) }];
  const { bucket, key } = objectIn(request);
  if (key === "") return [{ action: "s3:ListBucket", resource: `arn:aws:s3:::${bucket}` }];
  const resource = `arn:aws:s3:::${bucket}/${key}`;
  const isUpload = new URLSearchParams(request.path.split("?")[1]).has("uploadId");
  switch (request.method) {
    // https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html#mpuAndPermissions
    case "DELETE":
      return [{ action: isUpload ? "s3:AbortMultipartUpload" : "s3:DeleteObject", resource }];
    case "GET":
    case "HEAD":
      return [{ action: isUpload ? "s3:ListMultipartUploadParts" : "s3:GetObject", resource }];
    default:
      // https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
      return ["s3:PutObject", ...(request.headers["if-match"] === undefined ? [] : ["s3:GetObject"])].map((action) => ({
        action,
        resource,
      }));
  }
}

/** Of a request to S3 with the bucket in its path. */
export function objectIn({ path }: Pick<SeenRequest, "path">): { readonly bucket: string; readonly key: string } {
  const [bucket = "", ...key] = decodeURIComponent(path.split("?")[0]!).slice(1).split("/");
  return { bucket, key: key.join("/") };
}

/** What each function may do, by its logical name; with other names for what lies elsewhere than it was deployed to. */
export function policiesOf(
  resources: readonly RegisteredResource[],
  renames: readonly (readonly [from: string, to: string])[],
): Readonly<Record<string, PolicyDocument>> {
  const longestFirst = renames.toSorted(([one], [other]) => other.length - one.length);
  return Object.fromEntries(
    ofType(resources, "Function").map(({ name }) => {
      const policy = inputsOf(resources, "RolePolicy", `${name}-role-policy`).policy as string;
      const text = longestFirst.reduce((all, [from, to]) => all.replaceAll(from, to), policy);
      return [name, JSON.parse(text) as PolicyDocument];
    }),
  );
}
