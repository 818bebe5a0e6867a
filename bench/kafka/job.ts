/** What every contender is told, and what it is measured by. */
export interface Job {
  readonly broker: string;
  readonly from: string;
  readonly to: string;
  readonly group: string;
  /** Records that `from` has. */
  readonly count: number;
}

export const PARTITIONS = 4;
/** Records of one batch: what each client does best with. */
export const BATCH = 5_000;

/** JSON in, two fields changed, JSON out. */
export function transform(value: Uint8Array): string {
  const order = JSON.parse(Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString()) as Order;
  order.total = Math.round(order.price * order.count * 100) / 100;
  order.state = "priced";
  return JSON.stringify(order);
}

interface Order {
  readonly price: number;
  readonly count: number;
  total?: number;
  state: string;
}

export const orderAt = (index: number): string =>
  JSON.stringify({
    id: `order-${index}`,
    customer: `customer-${index % 9973}`,
    state: "new",
    price: (index % 10_000) / 100,
    count: 1 + (index % 7),
    note: "left at the back door, between the bins and the bicycles",
    created: "2026-01-01T00:00:00.000Z",
  });

/** Seconds of a client's own work, from its first request until all is done: without the start of its process. */
export interface Work {
  readonly wall: number;
  readonly cpu: number;
}

/**
 * Runs a contender in its own process, as `node <file> <job as JSON>`, and prints what it took.
 *
 * @param copy resolves once all records of the job are copied and committed
 * @param cpu seconds so far. @default of this process
 */
export async function contend(copy: (job: Job) => Promise<void>, cpu = ownCpu): Promise<void> {
  const job = JSON.parse(process.argv[2]!) as Job;
  const [began, before] = [performance.now(), cpu()];
  await copy(job);
  const work: Work = { wall: (performance.now() - began) / 1000, cpu: cpu() - before };
  console.log(JSON.stringify(work));
  process.exit(0);
}

function ownCpu(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
