import { local } from "../../lib/clouds/local/index.ts";
import { cron, LargeObjectTransfer } from "../../lib/index.ts";

/** Here by `npx millrace dev examples/large-object-transfer/index.ts`. */
const cloud = local();

/**
 * Every video that is put under `videos/` is copied to the other bucket at once, and whatever is missing there at four
 * in the morning. By hand, `{ "object": "videos/film.mp4" }`, `{ "prefix": "videos/" }` or `{ "manifest": "list.txt" }`:
 *
 *     npx millrace buckets put move-from film.mp4 --key videos/
 *     npx millrace flows start move '{ "prefix": "videos/" }' --wait
 */
export const move = new LargeObjectTransfer("move", {
  cloud,
  prefix: "videos/",
  when: ["upload", cron("0 4 * * *", { timeZone: "Asia/Shanghai" })],
});

export const millrace = cloud.output;
