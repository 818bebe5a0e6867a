/** Work that goes on after its caller has its answer. */
export class Background {
  readonly #work = new Set<Promise<void>>();
  readonly #onError: (error: unknown) => void;

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
  }

  run(work: Promise<unknown>): void {
    const watched = work
      .then(() => {}, this.#onError)
      .finally(() => {
        this.#work.delete(watched);
      });
    this.#work.add(watched);
  }

  /** Whether none is under way. */
  get isSettled(): boolean {
    return this.#work.size === 0;
  }

  /** Resolves once all of it has ended, also what it began itself. */
  async settled(): Promise<void> {
    while (this.#work.size > 0) await Promise.all(this.#work);
  }
}
