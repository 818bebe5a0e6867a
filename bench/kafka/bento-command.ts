import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { installed } from "../../test/real/install/cache.ts";
import { runCommand } from "../../test/real/install/run-command.ts";

const VERSION = "v1.5.0";
const MODULE = "github.com/warpstreamlabs/bento";

/**
 * Builds Bento with what the bench uses of it, once: it takes Go, and minutes.
 *
 * @returns the path of the command
 */
export async function bentoCommand(): Promise<string> {
  const folder = await installed(`bento-${VERSION.slice(1)}`, async (draft) => {
    mkdirSync(draft);
    const go = (...args: readonly string[]) => runCommand("go", args, { cwd: draft });
    writeFileSync(join(draft, "go.mod"), `module bento\n\ngo 1.24\n\nrequire ${MODULE} ${VERSION}\n`);
    writeFileSync(join(draft, "main.go"), MAIN);
    await go("mod", "tidy");
    await go("build", "-trimpath", "-ldflags", "-s -w", "-o", "bento", ".");
  });
  return join(folder, "bento");
}

/** https://pkg.go.dev/github.com/warpstreamlabs/bento/public/service#RunCLI */
const MAIN = `package main

import (
	"context"

${["io", "kafka", "pure"].map((name) => `\t_ "${MODULE}/public/components/${name}"\n`).join("")}
	"${MODULE}/public/service"
)

func main() { service.RunCLI(context.Background()) }
`;
