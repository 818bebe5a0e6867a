import { readdirSync, readFileSync } from "node:fs";

/** What a piece of work took: seconds on the clock, and of all processors together. */
export interface Cost {
  readonly wall: number;
  readonly cpu: number;
}

export interface Measured<Value> extends Cost {
  readonly value: Value;
}

/** Runs the work and says what it took, this process and everything it has started included. */
export async function measure<Value>(work: () => Promise<Value>): Promise<Measured<Value>> {
  const [began, cpu] = [performance.now(), treeCpu(process.pid)];
  const value = await work();
  return { wall: (performance.now() - began) / 1000, cpu: treeCpu(process.pid) - cpu, value };
}

/** USER_HZ: 100 on every Linux that Node runs on. https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html */
const TICKS_PER_SECOND = 100;

/**
 * CPU seconds so far of a process and all it has started: those that live (utime, stime) and those that have ended and
 * were waited for (cutime, cstime). A child that ends moves from the first sum to the second, so differences are right
 * to a hundredth of a second per process. Linux only.
 */
export function treeCpu(root: number): number {
  const children = new Map<number, number[]>();
  const ticks = new Map<number, number>();
  for (const name of readdirSync("/proc")) {
    const stat = /^\d+$/.test(name) ? statOf(name) : undefined;
    if (!stat) continue;
    // Numbered from the third field on: state, ppid, …, and from the twelfth utime, stime, cutime, cstime.
    const parent = Number(stat[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
    ticks.set(
      Number(name),
      stat.slice(11, 15).reduce((sum, field) => sum + Number(field), 0),
    );
  }
  const sumOf = (pid: number): number =>
    (ticks.get(pid) ?? 0) + (children.get(pid) ?? []).reduce((sum, child) => sum + sumOf(child), 0);
  return sumOf(root) / TICKS_PER_SECOND;
}

/** The fields after the program's name, which may itself hold blanks and brackets. */
function statOf(pid: string): readonly string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined;
  }
}

/** Runs every contender in turn, again and again (A B A B …), so that what slows the machine slows them all. */
export async function alternate<Name extends string, Sample>(
  contenders: Readonly<Record<Name, (round: number) => Promise<Sample>>>,
  runs: number,
  onSample: (name: Name, round: number, sample: Sample) => void = () => {},
): Promise<Readonly<Record<Name, readonly Sample[]>>> {
  const names = Object.keys(contenders) as Name[];
  const samples = Object.fromEntries(names.map((name) => [name, [] as Sample[]])) as Record<Name, Sample[]>;
  for (let round = 1; round <= runs; round += 1) {
    for (const name of names) {
      const sample = await contenders[name](round);
      samples[name].push(sample);
      onSample(name, round, sample);
    }
  }
  return samples;
}

export const median = (values: readonly number[]): number => percentile(values, 0.5);

/** Between two values it lies in proportion, so that the median of two is their mean. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  const [low, high] = [sorted[Math.floor(at)] ?? Number.NaN, sorted[Math.ceil(at)] ?? Number.NaN];
  return low + (high - low) * (at - Math.floor(at));
}

/** The median of one field over all samples. */
export const medianOf = <Sample>(samples: readonly Sample[], field: (sample: Sample) => number): number =>
  median(samples.map(field));
