/** What all contenders archive: lines of services as they log in JSON, most of them of a few. Always the same. */

export const PARTITIONS = 12;
export const BATCH = 1000;
const APPLICATIONS = 20;

const LEVELS = ["INFO", "INFO", "INFO", "WARN", "ERROR", "DEBUG"];
const VERBS = ["GET", "POST", "PUT"];
const PATHS = ["/api/orders", "/api/users", "/health", "/api/carts/items", "/api/pay"];
const ANSWERS = [200, 200, 200, 404, 500];

/** So many lines, one after the other. */
export function* lines(count: number): Generator<string> {
  let state = 1;
  const next = () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return state / 2 ** 32;
  };
  const one = <Item>(items: readonly Item[]): Item => items[Math.floor(next() * items.length)]!;
  const hex = () => Math.floor(next() * 2 ** 32).toString(16);
  for (let index = 0; index < count; index += 1) {
    yield JSON.stringify({
      time: new Date(1_790_000_000_000 + index * 7).toISOString(),
      app: `app-${Math.floor(APPLICATIONS * next() ** 3)}`,
      level: one(LEVELS),
      host: `node-${Math.floor(next() * 40)}`,
      request: hex() + hex(),
      message: `${one(VERBS)} ${one(PATHS)}/${Math.floor(next() * 1e5)} answered ${one(ANSWERS)} in ${Math.floor(next() * 900)} ms`,
      user: Math.floor(next() * 5000),
    });
  }
}

/** Batches as a stream gives them: a thousand of one partition, then of the next one. */
export function batches(count: number): readonly (readonly Buffer[])[] {
  const all = [...lines(count)].map((line) => Buffer.from(line));
  return Array.from({ length: Math.ceil(count / BATCH) }, (_, index) => all.slice(index * BATCH, (index + 1) * BATCH));
}
