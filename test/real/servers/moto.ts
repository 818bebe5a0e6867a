import { installMoto } from "../install/moto.ts";
import { type Server, startServer, withFreePorts } from "./server.ts";

export interface MotoServer extends Server {
  /** `http://127.0.0.1:<port>`, the endpoint of every service. */
  readonly url: string;
  readonly region: string;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
}

/** An AWS of its own: moto, whose Step Functions really run. */
export async function startMoto(): Promise<MotoServer> {
  const command = await installMoto();
  return withFreePorts(1, async (port) => {
    const url = `http://127.0.0.1:${port}`;
    const server = await startServer({
      name: "moto",
      command,
      args: () => ["-m", "moto.server", "-H", "127.0.0.1", "-p", `${port}`],
      ready: () => configure(url),
    });
    const credentials = { accessKeyId: "AKIAMILLRACE", secretAccessKey: "millrace-secret" };
    return { url, region: "us-east-1", credentials, ...server };
  });
}

/** Without Docker, a Lambda function succeeds and echoes its input. https://docs.getmoto.org/en/latest/docs/configuration/index.html */
async function configure(url: string): Promise<boolean> {
  const body = JSON.stringify({ stepfunctions: { execute_state_machine: true }, lambda: { use_docker: false } });
  const answer = await fetch(`${url}/moto-api/config`, { method: "POST", body });
  return answer.ok;
}
