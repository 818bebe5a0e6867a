/** An entry that keeps what it is given and does nothing: a bundle's least. */
export function start(definition: unknown): void {
  Object.assign(globalThis, { definition });
}
