import type { Context, FunctionInvoked } from "../../lib/runtime/index.ts";

/** What a report wants to know. */
export interface ReportRequest {
  readonly month: string;
  readonly pages: number;
}

/** Writes a report page by page, saying how far it is; a stop ends it between two pages. */
export async function handler({ payload }: FunctionInvoked<ReportRequest>, { run, log, signal }: Context) {
  const { month, pages } = payload;
  for (let page = 1; page <= pages; page += 1) {
    signal.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, 100));
    run.progress(page / pages, `page ${page} of ${pages}`);
    log.info("page written", { month, page });
  }
  return { month, pages };
}
