import type { FunctionPlan, PartPlan } from "../../../parts/plan.ts";
import type { Agenda, Duty } from "./agenda.ts";
import { Consumer, type ConsumerOptions, type StreamSource, type TakenPartitions } from "./consumer.ts";

export interface ConsumersOptions extends ConsumerOptions {
  readonly agenda: Pick<Agenda, "wake">;
  /** Batches of one function in work at once. */
  readonly most: number;
}

/** Gives records of streams to all functions that have them as a source. */
export class Consumers implements Duty {
  readonly #options: ConsumersOptions;
  readonly #consumers = new Map<string, Consumer>();
  readonly #taken: TakenPartitions = { keys: new Set(), onFree: (stream) => void this.appended(stream) };
  /** Who waits for all to be done. */
  #hurries = 0;

  constructor(options: ConsumersOptions) {
    this.#options = options;
  }

  /** Takes the sources of these parts in place of those before; batches in work finish. */
  define(parts: readonly PartPlan[]): void {
    const wanted = new Set<string>();
    for (const { plan, source, group, share } of membersOf(parts)) {
      const most = Math.min(plan.concurrency ?? Number.POSITIVE_INFINITY, this.#options.most);
      const settings = { plan, source, group, share, most };
      const key = `${source.stream}\0${group}\0${plan.name}`;
      const known = this.#consumers.get(key);
      if (known) known.define(settings);
      else this.#consumers.set(key, new Consumer(this.#options, this.#taken, settings));
      wanted.add(key);
    }
    for (const [key, consumer] of this.#consumers) {
      if (wanted.has(key)) continue;
      this.#consumers.delete(key);
      void consumer.close();
    }
    this.#options.agenda.wake();
  }

  /** Records were appended to a stream; the names of the functions that get them. */
  appended(stream: string): readonly string[] {
    const consumers = [...this.#consumers.values()].filter(({ settings }) => settings.source.stream === stream);
    for (const consumer of consumers) consumer.changed();
    this.#options.agenda.wake();
    return consumers.map(({ settings }) => settings.plan.name);
  }

  /** Whose places in which streams a function takes. */
  groupsOf(name: string): readonly { readonly group: string; readonly stream: string }[] {
    return [...this.#consumers.values()]
      .filter(({ settings }) => settings.plan.name === name)
      .map(({ settings: { group, source } }) => ({ group, stream: source.stream }));
  }

  /** Until the answer is called, batches go as they are and wait for no more records. */
  hurry(): () => void {
    this.#hurry(1);
    return () => this.#hurry(-1);
  }

  next(): number | undefined {
    const times = [...this.#consumers.values()].map((consumer) => consumer.next() ?? Number.POSITIVE_INFINITY);
    const next = Math.min(Number.POSITIVE_INFINITY, ...times);
    return next === Number.POSITIVE_INFINITY ? undefined : next;
  }

  run(now: number): void {
    for (const consumer of this.#consumers.values()) consumer.run(now);
  }

  /** Takes no more records; resolves when the batches in work are over. End the processes at the same time. */
  async close(): Promise<void> {
    await Promise.all([...this.#consumers.values()].map((consumer) => consumer.close()));
  }

  #hurry(more: 1 | -1): void {
    this.#hurries += more;
    for (const consumer of this.#consumers.values()) consumer.hurry(this.#hurries > 0);
    this.#options.agenda.wake();
  }
}

/** Functions of one group share the partitions of its stream. */
function membersOf(parts: readonly PartPlan[]) {
  const members = parts
    .filter((part): part is FunctionPlan => part.kind === "function")
    .flatMap((plan) =>
      plan.sources
        .filter((source): source is StreamSource => source.type === "stream.consumed")
        .map((source) => ({ plan, source, group: source.group ?? plan.name })),
    );
  return members.map((member) => {
    const group = members.filter((one) => one.group === member.group && one.source.stream === member.source.stream);
    const names = [...new Set(group.map(({ plan }) => plan.name))].sort();
    return { ...member, share: { index: names.indexOf(member.plan.name), of: names.length } };
  });
}
