/**
 * What takes long to load, when it is first used: a process that never needs it never waits for it. A load that failed
 * is tried again at the next use.
 */
export function onFirstUse<Value>(load: () => Promise<Value>): () => Promise<Value> {
  let loaded: Promise<Value> | undefined;
  return () => {
    loaded ??= load().catch((error: unknown) => {
      loaded = undefined;
      throw error;
    });
    return loaded;
  };
}
