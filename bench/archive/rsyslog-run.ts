/**
 * rsyslog reads a file, splits by a field of each line as JSON, and zips a file for each application, all in its defaults
 * for speed: `rsyslog-run.ts <lines> <folder> <command> <level>`.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { lines } from "./lines.ts";
import { report } from "./report.ts";

const [count, folder, command, level] = process.argv.slice(2) as [string, string, string, string];
const home = mkdtempSync(join(tmpdir(), "millrace-rsyslog-"));
const [input, done] = [join(home, "input"), join(home, "done")];
writeFileSync(input, [...lines(Number(count)), '{"app":"end"}\n'].join("\n"));
writeFileSync(
  join(home, "conf"),
  `global(workDirectory="${home}" maxMessageSize="64k")
module(load="imfile" mode="polling" pollingInterval="1")
module(load="mmjsonparse")
template(name="file" type="string" string="${folder}/%$!app%.log.gz")
template(name="line" type="string" string="%msg%\\n")
input(type="imfile" file="${input}" tag="lines" ruleset="archive")
ruleset(name="archive") {
  action(type="mmjsonparse" cookie="")
  if $!app == "end" then {
    action(type="omfile" file="${done}" template="line")
    stop
  }
  action(type="omfile" dynaFile="file" template="line" zipLevel="${level}" dynaFileCacheSize="100" ioBufferSize="256k" flushOnTXEnd="off")
}
`,
);
try {
  await report(folder, async () => {
    const child = spawn(command, ["-n", "-f", join(home, "conf"), "-i", join(home, "pid")], { stdio: "inherit" });
    const ended = once(child, "close");
    // What comes last is written last.
    while (!existsSync(done) && child.exitCode === null) await pause(20);
    child.kill("SIGTERM");
    await ended;
  });
} finally {
  rmSync(home, { recursive: true, force: true });
}
