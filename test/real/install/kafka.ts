import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { installed } from "./cache.ts";
import { runCommand } from "./run-command.ts";

const VERSION = "3.9.1";

/**
 * Gets a Kafka broker with what it needs from the Maven repository that the machine's settings name, once. It takes Java
 * 17 or newer, and Maven.
 *
 * @returns the folder of its jars. `MILLRACE_KAFKA` names another one to use: `libs` of what Kafka gives out.
 */
export async function installKafka(): Promise<string> {
  if (process.env.MILLRACE_KAFKA) return process.env.MILLRACE_KAFKA;
  const folder = await installed(`kafka-${VERSION}`, async (draft) => {
    mkdirSync(draft);
    writeFileSync(join(draft, "pom.xml"), POM);
    const goal = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies";
    await runCommand("mvn", ["-B", "-q", goal, "-DincludeScope=runtime", "-DoutputDirectory=libs"], { cwd: draft });
  });
  return join(folder, "libs");
}

/** Not `kafka_2.13` alone: the tool that formats a folder asks for classes of `kafka-tools`. */
const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>millrace</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <dependencies>
${["kafka_2.13", "kafka-tools"]
  .map(
    (artifact) =>
      `    <dependency><groupId>org.apache.kafka</groupId><artifactId>${artifact}</artifactId><version>${VERSION}</version></dependency>\n`,
  )
  .join("")}  </dependencies>
</project>
`;
