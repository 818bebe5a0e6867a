import { spawnSync } from "node:child_process";
import { appendFileSync, mkdirSync, rmSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { connectLocal, type LocalClient } from "../../lib/clouds/local/client.ts";
import { type DevProcess, startDevProcess } from "./dev-process.ts";
import type { Scene } from "./scene.ts";

/** A disk of its own for one process. https://man7.org/linux/man-pages/man1/unshare.1.html */
const onSmallDisk = [
  ...["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec"],
  'mount -t tmpfs -o size=24m none "$0"; exec "$@"',
];

/** Whether this system lets a process mount a disk of its own. */
export const hasSmallDisks = spawnSync(onSmallDisk[0]!, [...onSmallDisk.slice(1), "/mnt", "true"]).status === 0;

/** A local cloud whose folder is a disk of 24 MB. */
export interface SmallDisk {
  readonly dev: DevProcess;
  readonly cloud: LocalClient;
  /** The cloud's folder, from outside. */
  readonly folder: string;
  /** Fills the disk but for so many bytes, whatever else is written meanwhile. */
  leave(bytes: number): void;
  makeRoom(): void;
}

export async function startOnSmallDisk(stage: Scene): Promise<SmallDisk> {
  mkdirSync(stage.folder);
  const dev = startDevProcess(stage, { by: [...onSmallDisk, stage.folder] });
  onTestFinished(() => void dev.child.kill("SIGKILL"));
  await dev.ready;
  // The disk as that process sees it. https://man7.org/linux/man-pages/man5/proc_pid_root.5.html
  const folder = `/proc/${dev.child.pid}/root${stage.folder}`;
  const filler = join(folder, "filler");
  const makeRoom = () => rmSync(filler, { force: true });
  return {
    dev,
    cloud: connectLocal({ folder }),
    folder,
    makeRoom,
    leave(bytes) {
      makeRoom();
      const piece = Buffer.alloc(65_536);
      try {
        for (;;) appendFileSync(filler, piece);
      } catch {
        truncateSync(filler, Math.max(0, statSync(filler).size - bytes));
      }
    },
  };
}
