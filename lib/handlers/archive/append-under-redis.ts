import type { StreamConsumed } from "../../runtime/events.ts";
import type { Context } from "../../runtime/handler.ts";
import type { SecretReader } from "../../runtime/ports.ts";
import { type Archived, type ArchiveLinks, archive } from "./archive.ts";
import { redisLock } from "./redis-lock.ts";
import type { RedisSettings } from "./settings.ts";
import type { ApplicationModule } from "./user-code.ts";

/** The links of who asks a Redis. */
export interface RedisLinks extends ArchiveLinks {
  /** Who connects, as JSON. Absent: nobody is asked. */
  readonly user?: SecretReader;
}

/** Appends a batch to the files of its applications. Who may write is asked of a Redis; what counts, the table says. */
export async function handler(
  event: StreamConsumed,
  context: Context<RedisLinks, RedisSettings, { readonly application?: ApplicationModule }>,
): Promise<Archived> {
  const { links, settings, log } = context;
  await using lock = redisLock({
    url: settings.redis,
    space: settings.space,
    user: async () =>
      links.user ? (JSON.parse(await links.user.value()) as { username?: string; password: string }) : {},
    onTrouble: (error) => log.warn("Redis", { error: error.message }),
  });
  return await archive(event, context, lock);
}
