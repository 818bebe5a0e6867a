/**
 * `pulumi preview` or `pulumi up` of a program in TypeScript, in a process of its own, since a program is a module and
 * is evaluated once. The CLI is the real one; of its parts only the language host is not here, and Automation API's
 * inline programs stand in for it. https://www.pulumi.com/docs/iac/automation-api/
 */
import { pathToFileURL } from "node:url";
import { LocalWorkspace } from "@pulumi/pulumi/automation/index.js";
import { outcomeOf } from "./outcome.ts";

/** What the process is told. */
export interface ProgramOrder {
  readonly verb: "preview" | "up";
  /** Whether it looks first at what is there. */
  readonly refresh: boolean;
  /** The program, from whose folder it runs, as `main` of Pulumi.yaml has it. */
  readonly file: string;
  readonly folder: string;
  readonly workDir: string;
  readonly stack: string;
}

if (import.meta.main) {
  process.once("message", async (order: ProgramOrder) => {
    // A long outcome is not sent at once, and whoever disconnects before loses it.
    process.send!(await run(order), () => process.disconnect());
  });
}

async function run({ verb, refresh, file, folder, workDir, stack: stackName }: ProgramOrder) {
  process.chdir(folder);
  const stack = await LocalWorkspace.selectStack({ stackName, workDir });
  const program = async () => ({ ...(await import(pathToFileURL(file).href)) });
  return outcomeOf((onEvent, onOutput) => stack[verb]({ program, refresh, onEvent, onOutput, color: "never" }));
}
