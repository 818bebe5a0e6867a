const WIDTH = 24;

/** A share from 0 to 1 as a bar and a number: `████████░░░░  67 %`. */
export function progressBar(share: number, width = WIDTH): string {
  const bounded = Math.min(1, Math.max(0, share));
  const full = Math.floor(bounded * width);
  return `${"█".repeat(full)}${"░".repeat(width - full)} ${percent(bounded).padStart(5)}`;
}

/** Rounded down: 100 % is said when it is done. */
export const percent = (share: number): string => `${Math.floor(Math.min(1, Math.max(0, share)) * 100)} %`;
