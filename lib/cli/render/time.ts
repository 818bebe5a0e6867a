/** A time as a clock on the wall shows it, with seconds: `2026-11-21 08:15:06`. */
export function formatTime(iso: string): string {
  const time = new Date(iso);
  const date = [time.getFullYear(), time.getMonth() + 1, time.getDate()].map(twoDigits).join("-");
  return `${date} ${formatClock(iso)}`;
}

/** The time of day alone: `08:15:06`. */
export function formatClock(iso: string): string {
  const time = new Date(iso);
  return [time.getHours(), time.getMinutes(), time.getSeconds()].map(twoDigits).join(":");
}

const twoDigits = (number: number): string => String(number).padStart(2, "0");

/** Milliseconds as people say them: `0.8 s`, `12 s`, `3 min 5 s`, `2 h 10 min`, `4 d 3 h`. */
export function formatSpan(milliseconds: number): string {
  if (milliseconds < 10_000) return `${Math.max(0, Math.round(milliseconds / 100) / 10)} s`;
  const seconds = Math.round(milliseconds / 1000);
  const units = [
    ["d", Math.floor(seconds / 86_400)],
    ["h", Math.floor(seconds / 3600) % 24],
    ["min", Math.floor(seconds / 60) % 60],
    ["s", seconds % 60],
  ] as const;
  const first = units.findIndex(([, amount]) => amount > 0);
  return units
    .slice(first, first + 2)
    .filter(([, amount]) => amount > 0)
    .map(([unit, amount]) => `${amount} ${unit}`)
    .join(" ");
}

/** From one time to another, ISO 8601. */
export const formatBetween = (from: string, to: string): string => formatSpan(Date.parse(to) - Date.parse(from));
