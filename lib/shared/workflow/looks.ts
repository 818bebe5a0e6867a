/** Seconds until a run is looked at again, after so many looks: a short run ends soon, a long one costs little. */
export const untilNextLook = (looks: number): number => Math.min(300, 5 * 2 ** Math.min(looks, 6));
