import type { Clock } from "../../../lib/runtime/clock.ts";

/** Time that goes that much quicker from a moment on, the same in every process that is told both. */
export function quickClock(begin: number, speed: number): Clock {
  const now = () => begin + (Date.now() - begin) * speed;
  return {
    now,
    at(time, callback) {
      const timer = setTimeout(callback, Math.min(Math.max(0, time - now()) / speed, 2 ** 31 - 1));
      return () => clearTimeout(timer);
    },
  };
}

/** The clock that an environment tells of. */
export const clockOf = ({ QUICK_BEGIN = "0", QUICK_SPEED = "1" }: NodeJS.ProcessEnv): Clock =>
  quickClock(Number(QUICK_BEGIN), Number(QUICK_SPEED));
