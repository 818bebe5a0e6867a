import type { StreamConsumed } from "../../runtime/events.ts";
import type { Context } from "../../runtime/handler.ts";
import { type Archived, type ArchiveLinks, archive } from "./archive.ts";
import type { AppendSettings } from "./settings.ts";
import type { ApplicationModule } from "./user-code.ts";

/** Appends a batch to the files of its applications. Who may write is said by the table alone. */
export const handler = (
  event: StreamConsumed,
  context: Context<ArchiveLinks, AppendSettings, { readonly application?: ApplicationModule }>,
): Promise<Archived> => archive(event, context);
