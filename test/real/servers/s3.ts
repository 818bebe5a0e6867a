import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { installVersitygw } from "../install/versitygw.ts";
import { type Server, startServer, withFreePorts } from "./server.ts";

export interface S3Server extends Server {
  /** `http://127.0.0.1:<port>`; buckets are in the path, not in the host's name. */
  readonly url: string;
  readonly region: string;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
}

/** Where the server reports what happens to objects. */
export interface S3Events {
  /** Of a NATS server that runs already. */
  readonly natsUrl: string;
  /** Every event is published here, as S3's JSON; a test event comes first. Plain publishes, without JetStream's answer. */
  readonly subject: string;
}

/** An S3 server without any bucket, on files of its own. */
export async function startS3({
  events,
}: {
  /** @default nobody is told */ events?: S3Events;
} = {}): Promise<S3Server> {
  const command = await installVersitygw();
  const credentials = { accessKeyId: "millrace", secretAccessKey: "millrace-secret" };
  const region = "us-east-1";
  return withFreePorts(1, async (port) => {
    const url = `http://127.0.0.1:${port}`;
    const server = await startServer({
      name: "s3",
      command,
      args: (folder) => [
        ...["--port", `127.0.0.1:${port}`, "--region", region, "--health", "/health"],
        ...(events ? ["--event-nats-url", events.natsUrl, "--event-nats-topic", events.subject] : []),
        ...["posix", objectsIn(folder)], // metadata in extended attributes, which Linux's usual file systems have
      ],
      env: { ROOT_ACCESS_KEY: credentials.accessKeyId, ROOT_SECRET_KEY: credentials.secretAccessKey },
      ready: async () => (await fetch(`${url}/health`)).ok,
    });
    return { url, region, credentials, ...server };
  });
}

function objectsIn(folder: string): string {
  const objects = join(folder, "objects");
  mkdirSync(objects);
  return objects;
}
