import { sleep } from "../../../runtime/clock.ts";
import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import { MillraceError } from "../../../runtime/errors.ts";
import type { TaskLogs } from "../../../runtime/tasks/logs.ts";
import { type FoundLine, inSequence, printedLine, timeOf } from "../../../runtime/tasks/printed.ts";
import { LOG_DIVIDERS } from "../env.ts";
import type { AlicloudWorld } from "./account.ts";
import { encode, type HttpAnswer, send, textOf } from "./http.ts";
import { signSls } from "./signature.ts";

/** Lines in one answer, at most. */
const PAGE = 100;
const MINUTE = 60_000;
/** Milliseconds that the service's time of a line, or the clock of whoever asks, may be beside the line's own. */
const SKEW = MINUTE;
/** Tries of a search that the service does not come to the end of, and milliseconds between them. */
const TRIES = 20;
const PAUSE = 500;
/** Milliseconds until what was printed can be found: Function Compute collects it, and the store indexes it. */
const DELAY = 10_000;
/** Conditions of a search. https://www.alibabacloud.com/help/en/sls/user-guide/search-syntax */
const MOST_WORDS = 30;

/**
 * The lines that workers print, in their store of Log Service, found by words of the run's id and the task's name: what
 * a function prints is text in the field `message`, whatever its form.
 *
 * @see https://www.alibabacloud.com/help/en/sls/developer-reference/api-sls-2020-12-30-getlogs
 */
export function storeLogs(address: LinkAddress, world: AlicloudWorld): TaskLogs {
  const store = new LogStore(address, world);
  return {
    delay: DELAY,
    append: async () => {},
    async read(task, id, { after, limit, since = 0 }) {
      const from = Math.max(0, since - SKEW, timeOf(after) - SKEW);
      const found: FoundLine[] = [];
      for await (const page of store.search(queryOf(task, id), from)) {
        const lines = inSequence(found, after);
        // Time by time, but only to the minute: whatever comes now is later than all that is wanted.
        if (lines.length >= limit && page.from > Date.parse(lines[limit - 1]!.time) + SKEW) break;
        found.push(...page.messages.flatMap((text) => foundLine(text, task, id)));
        found.sort((one, other) => one.at - other.at);
      }
      return inSequence(found, after).slice(0, limit);
    },
    watch: () => () => {},
    remove: async () => {},
  };
}

function foundLine(text: string, task: string, id: string): readonly FoundLine[] {
  const line = printedLine(text, task, id);
  return line ? [{ at: Date.parse(line.time), line }] : [];
}

/** Every word of the task's name and the run's id that a search cannot misread: the lines are looked at in any case. */
const queryOf = (task: string, id: string): string =>
  [...wordsOf(task), ...wordsOf(id)]
    .slice(0, MOST_WORDS)
    .map((word) => `"${word}"`)
    .join(" and ");

/** The words that the index has of a text in JSON. */
const wordsOf = (text: string): readonly string[] =>
  [...new Set(JSON.stringify(text).split(DIVIDER))].filter((word) => /^[A-Za-z0-9_.-]+$/.test(word));

const DIVIDER = new RegExp(`[${LOG_DIVIDERS.replace(/[[\]]/g, "\\$&")}]`);

interface LogPage {
  /** The minute of its first line, milliseconds since 1970. */
  readonly from: number;
  /** What functions printed, line by line. */
  readonly messages: readonly string[];
}

class LogStore {
  readonly #name: string;
  readonly #origin: string;
  readonly #path: string;
  readonly #world: AlicloudWorld;

  constructor(address: LinkAddress, world: AlicloudWorld) {
    this.#name = field(address, "logs");
    const [project, store = ""] = this.#name.split("/");
    const region = field(address, "region");
    const inside = region === world.region ? "-intranet" : "";
    this.#origin = address.logsEndpoint ?? `https://${project}.${region}${inside}.log.aliyuncs.com`;
    this.#path = `/logstores/${encode(store)}`;
    this.#world = world;
  }

  /** What there is since that time, in pages. Whole minutes are asked for, since others may be answered in part. */
  async *search(query: string, since: number): AsyncGenerator<LogPage, void> {
    const from = Math.floor(since / MINUTE) * 60;
    const to = (Math.floor((this.#world.clock.now() + SKEW) / MINUTE) + 1) * 60;
    for (let offset = 0; ; offset += PAGE) {
      const rows = await this.#page({ query, from, to, offset });
      const [first] = rows;
      if (first) {
        yield {
          from: Math.floor((Number(first.__time__) * 1000) / MINUTE) * MINUTE,
          messages: rows.flatMap(({ message = "" }) => message.split("\n")),
        };
      }
      if (rows.length < PAGE) return;
    }
  }

  /** Asks until the service has looked everywhere. */
  async #page(search: { readonly query: string; readonly from: number; readonly to: number; readonly offset: number }) {
    const query = {
      type: "log",
      query: search.query,
      from: String(search.from),
      to: String(search.to),
      line: String(PAGE),
      offset: String(search.offset),
      reverse: "false",
    };
    const { clock, signal, credentials } = this.#world;
    for (let tries = 1; ; tries += 1) {
      const request = { method: "GET", origin: this.#origin, path: this.#path, query, headers: {} } as const;
      const answer = await send(request, signSls(credentials), this.#world);
      if (answer.status !== 200) throw await errorOf(answer, this.#name);
      const rows = JSON.parse(await textOf(answer)) as readonly Readonly<Record<string, string | undefined>>[];
      if (answer.headers["x-log-progress"] !== "Incomplete") return rows;
      if (tries === TRIES) {
        throw new MillraceError("unavailable", `reading ${this.#name}: Log Service does not come to the end of it`);
      }
      await sleep(clock, PAUSE, signal);
    }
  }
}

/** https://www.alibabacloud.com/help/en/sls/developer-reference/common-error-codes */
async function errorOf(answer: HttpAnswer, name: string): Promise<MillraceError> {
  const { status } = answer;
  const kind = status === 404 ? "not-found" : status === 401 || status === 403 ? "refused" : "failed";
  const [, code = ""] = /"errorCode"\s*:\s*"(\w+)"/.exec(await textOf(answer)) ?? [];
  return new MillraceError(kind, `reading ${name}: Log Service answers ${status}${code && ` ${code}`}`);
}
