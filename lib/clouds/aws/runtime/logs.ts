import { CloudWatchLogsClient, type FilteredLogEvent, FilterLogEventsCommand } from "@aws-sdk/client-cloudwatch-logs";
import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import type { LogFields, LogLevel } from "../../../runtime/handler.ts";
import type { TaskLogs } from "../../../runtime/tasks/logs.ts";
import type { TaskLogLine } from "../../../runtime/tasks/task.ts";
import { type AwsWorld, clientSettings } from "./account.ts";
import { ask } from "./ask.ts";

/** A line's sequence is its time and its place among the lines of the same millisecond. */
const PER_MILLISECOND = 1000;

/** A clock may be that much behind the one that stamped the submit, in milliseconds. */
const SKEW = 60_000;

/**
 * The lines that workers print, in their group of CloudWatch Logs. The service shows them some seconds late, and keeps
 * them as long as the group does.
 *
 * @see https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
 */
export function groupLogs(address: LinkAddress, world: AwsWorld): TaskLogs {
  const client = new CloudWatchLogsClient(clientSettings(world, field(address, "region"), address.logsEndpoint));
  const logGroupName = field(address, "logs");
  return {
    append: async () => {},
    async read(task, id, { after, limit, since = 0 }) {
      const startTime = Math.max(0, since - SKEW, Math.floor(after / PER_MILLISECOND));
      const filterPattern = `{ $.task = ${wanted(task)} && $.run = ${wanted(id)} }`;
      const lines = new Lines(task, id);
      let nextToken: string | undefined;
      do {
        const request = new FilterLogEventsCommand({ logGroupName, startTime, filterPattern, nextToken });
        const page = await ask(`reading ${logGroupName}`, world, (options) => client.send(request, options));
        lines.take(page.events ?? [], after);
        nextToken = page.nextToken;
      } while (nextToken !== undefined && lines.found.length < limit);
      return lines.found.slice(0, limit);
    },
    watch: () => () => {},
    remove: async () => {},
  };
}

/**
 * A text in a filter. `*` is any text there: what else might mean something becomes one, and the lines are looked at.
 *
 * @see https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
 */
const wanted = (text: string): string => `"${text.replace(/[^A-Za-z0-9_./:@ -]+/gu, "*")}"`;

/** A line as `jsonLog` writes it. */
interface PrintedLine {
  readonly time: string;
  readonly level: LogLevel;
  readonly message: string;
  readonly run: string;
  readonly task: string;
  readonly attempt: number;
  readonly fields?: LogFields;
}

/** The lines of one run, as they come by time. */
class Lines {
  readonly found: TaskLogLine[] = [];
  readonly #task: string;
  readonly #id: string;
  #last = 0;

  constructor(task: string, id: string) {
    this.#task = task;
    this.#id = id;
  }

  take(events: readonly FilteredLogEvent[], after: number): void {
    for (const { timestamp = 0, message = "" } of events) {
      const line = readLine(message);
      if (line?.run !== this.#id || line.task !== this.#task) continue;
      const sequence = Math.max(timestamp * PER_MILLISECOND, this.#last + 1);
      this.#last = sequence;
      if (sequence <= after) continue;
      const { time, attempt, level, message: text, fields } = line;
      this.found.push({ sequence, time, attempt, level, message: text, ...(fields && { fields }) });
    }
  }
}

/** Nothing if it is something else: numbers, and what the platform or the user's code prints. */
function readLine(text: string): PrintedLine | undefined {
  try {
    const line = JSON.parse(text) as PrintedLine | null;
    return typeof line?.level === "string" && typeof line.message === "string" ? line : undefined;
  } catch {
    return undefined;
  }
}
