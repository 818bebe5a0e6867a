import { execFile } from "node:child_process";
import { promisify } from "node:util";

/** The command, if it is here. `MILLRACE_RSYSLOG` names another one. https://www.rsyslog.com */
export async function findRsyslog(): Promise<string | undefined> {
  const command = process.env.MILLRACE_RSYSLOG ?? "rsyslogd";
  return promisify(execFile)(command, ["-v"]).then(
    () => command,
    () => undefined,
  );
}
