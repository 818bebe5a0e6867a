/** Answers what it was called with. */
export const handler = async (event: unknown): Promise<unknown> => event;
