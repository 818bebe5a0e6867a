import { alicloud } from "../../../lib/clouds/alicloud/index.ts";
import { aws } from "../../../lib/clouds/aws/index.ts";
import { AsyncTask, all, code, outputOf, read, remove, write } from "../../../lib/index.ts";
import { Keys, Store } from "../../clouds/copier.ts";

const hangzhou = alicloud({ region: "cn-hangzhou", contactGroups: [] });
const beijing = alicloud({ region: "cn-beijing", contactGroups: [] });
const virginia = aws({ region: "us-east-1", alarmEmails: [] });

const near = new Store("near", hangzhou).files;
const middle = new Store("middle", beijing).files;
const far = new Store("far", virginia).files;
const { first, second } = new Keys("keys", beijing);
const handler = code<typeof import("../../clouds/functions/copy.ts")>(
  new URL("../../clouds/functions/copy.ts", import.meta.url),
);

new AsyncTask("regions", {
  cloud: beijing,
  handler,
  links: { from: all(read(near), remove(near)), to: write(middle) },
});
new AsyncTask("clouds", {
  cloud: beijing,
  handler,
  links: {
    from: all(read(middle, { keys: second }), remove(middle, { keys: second })),
    to: write(far, { keys: first }),
  },
});

export const millrace = outputOf(hangzhou, beijing, virginia);
