import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { type AwsPlace, askedOf, isLambda, objectIn, type SeenRequest } from "../../clouds/aws/asked.ts";
import type { Asked, Guard } from "../../clouds/policies.ts";

export interface GuardedLineOptions extends AwsPlace {
  /** Where all services are but Lambda. */
  readonly target: string;
  /** Where Lambda is. */
  readonly functions: string;
  readonly guard: Guard;
  /** Whose line it is. */
  readonly caller: string;
}

/** A line to AWS by which one role asks: what its policy does not allow is answered as the services answer that. */
export class GuardedLine {
  /** Requests that came by this line. */
  requests = 0;
  /** Actions that Step Functions finds no machine for. */
  readonly failing = new Set<string>();
  readonly #options: GuardedLineOptions;
  readonly #server = createServer((incoming, outgoing) => void this.#serve(incoming, outgoing));

  private constructor(options: GuardedLineOptions) {
    this.#options = options;
  }

  static async open(options: GuardedLineOptions): Promise<GuardedLine> {
    const line = new GuardedLine(options);
    await new Promise<void>((resolve) => line.#server.listen(0, "127.0.0.1", resolve));
    return line;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    this.requests += 1;
    const { guard, caller } = this.#options;
    const { method = "", url: path = "", headers } = incoming;
    const seen: SeenRequest = { method, path, headers, body: await buffer(incoming) };
    const asked = askedOf(seen, this.#options);
    const denied = asked.find((one) => !guard.allows(caller, one));
    if (denied) return deny(seen, denied, outgoing);
    if (asked.some(({ action }) => this.failing.has(action))) {
      answer(outgoing, 400, { __type: "StateMachineDoesNotExist", message: "it is gone" });
      return;
    }
    const { status, headers: answered, body } = await this.#forward(seen);
    // https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
    const isMissing = status === 404 && asked[0]!.action === "s3:GetObject";
    const list = { action: "s3:ListBucket", resource: `arn:aws:s3:::${objectIn(seen).bucket}` };
    if (isMissing && !guard.allows(caller, list)) return deny(seen, list, outgoing);
    outgoing.writeHead(status, answered).end(body);
  }

  #forward({ method, path, headers, body }: SeenRequest) {
    const { target, functions } = this.#options;
    const { hostname, port } = new URL(isLambda({ path }) ? functions : target);
    return new Promise<{ status: number; headers: IncomingMessage["headers"]; body: Buffer }>((resolve, reject) => {
      const sent = request({ hostname, port, method, path, headers: headers as never }, async (response) => {
        resolve({ status: response.statusCode ?? 500, headers: response.headers, body: await buffer(response) });
      });
      sent.on("error", reject);
      sent.end(body);
    });
  }
}

/** https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html */
function deny(seen: SeenRequest, { action, resource }: Asked, outgoing: ServerResponse): void {
  const message = `User is not authorized to perform: ${action} on resource: ${resource}`;
  const isJson = seen.headers["x-amz-target"] !== undefined;
  if (isJson || isLambda(seen)) {
    outgoing.setHeader("x-amzn-errortype", "AccessDeniedException");
    answer(outgoing, isJson ? 400 : 403, { __type: "AccessDeniedException", message, Message: message });
    return;
  }
  const xml = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code><Message>${message}</Message></Error>`;
  outgoing.writeHead(403, { "content-type": "application/xml" }).end(seen.method === "HEAD" ? undefined : xml);
}

function answer(outgoing: ServerResponse, status: number, body: object): void {
  outgoing.writeHead(status, { "content-type": "application/x-amz-json-1.0" }).end(JSON.stringify(body));
}
