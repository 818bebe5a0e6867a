import { CloudWatchLogsClient, FilterLogEventsCommand } from "@aws-sdk/client-cloudwatch-logs";
import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import type { TaskLogs } from "../../../runtime/tasks/logs.ts";
import { type FoundLine, inSequence, printedLine, timeOf } from "../../../runtime/tasks/printed.ts";
import { type AwsWorld, clientSettings } from "./account.ts";
import { ask } from "./ask.ts";

/** A clock may be that much behind the one that stamped the submit, in milliseconds. */
const SKEW = 60_000;

/**
 * The lines that workers print, in their group of CloudWatch Logs. The service shows them some seconds late, and keeps
 * them as long as the group does.
 *
 * @see https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
 */
export function groupLogs(address: LinkAddress, world: AwsWorld): Pick<TaskLogs, "read"> {
  const client = new CloudWatchLogsClient(clientSettings(world, field(address, "region"), address.logsEndpoint));
  const logGroupName = field(address, "logs");
  return {
    async read(task, id, { after, limit, since = 0 }) {
      const startTime = Math.max(0, since - SKEW, timeOf(after));
      const filterPattern = `{ $.task = ${wanted(task)} && $.run = ${wanted(id)} }`;
      const found: FoundLine[] = [];
      let nextToken: string | undefined;
      do {
        const request = new FilterLogEventsCommand({ logGroupName, startTime, filterPattern, nextToken });
        const page = await ask(`reading ${logGroupName}`, world, (options) => client.send(request, options));
        for (const { timestamp: at = 0, message = "" } of page.events ?? []) {
          const line = printedLine(message, task, id);
          if (line) found.push({ at, line });
        }
        nextToken = page.nextToken;
      } while (nextToken !== undefined && inSequence(found, after).length < limit);
      return inSequence(found, after).slice(0, limit);
    },
  };
}

/**
 * A text in a filter. `*` is any text there: what else might mean something becomes one, and the lines are looked at.
 *
 * @see https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
 */
const wanted = (text: string): string => `"${text.replace(/[^A-Za-z0-9_./:@ -]+/gu, "*")}"`;
