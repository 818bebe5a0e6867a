import { BaseSequencer, type TestSpecification } from "vitest/node";

/**
 * Starts these files first, in this order, so that no worker is left alone with a long one; then the others, as vitest
 * would. Vitest itself knows how long a file takes only where it has run before, and else goes by its size.
 *
 * @param files the ends of their paths
 */
export const longestFirst = (files: readonly string[]) => {
  const rank = ({ moduleId }: TestSpecification): number => {
    const found = files.findIndex((file) => moduleId.endsWith(`/${file}`));
    return found === -1 ? files.length : found;
  };
  return class extends BaseSequencer {
    override async sort(specifications: TestSpecification[]): Promise<TestSpecification[]> {
      const sorted = await super.sort(specifications);
      return sorted.toSorted((one, other) => rank(one) - rank(other));
    }
  };
};
