/** Bits per second as people write them: `"800 kbps"`, `"2.5 Mbps"`; 1 kbps is 1,000 bits per second. */
export type Bitrate = `${number} ${"kbps" | "Mbps"}`;

export const BITRATE = /^(\d+(?:\.\d+)?) (kbps|Mbps)$/;

/**
 * The bits per second in a bitrate.
 *
 * @throws if the text is not a number and a unit.
 */
export function toBitsPerSecond(bitrate: Bitrate): number {
  const [, amount, unit] = BITRATE.exec(bitrate) ?? [];
  if (amount === undefined) {
    throw new Error(`a bitrate is a number and a unit, such as "800 kbps" or "2.5 Mbps", got "${bitrate}"`);
  }
  return Math.round(Number(amount) * (unit === "Mbps" ? 1_000_000 : 1000));
}
