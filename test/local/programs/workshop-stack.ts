import { local } from "../../../lib/clouds/local/index.ts";
import {
  AsyncTask,
  type Bucket,
  Construct,
  type ConstructArgs,
  code,
  type Queue,
  read,
  type Secret,
  send,
  type TaskPart,
} from "../../../lib/index.ts";
import { Inbox } from "./inbox.ts";

class Stores extends Construct {
  readonly papers: Bucket;
  readonly password: Secret;

  constructor(name: string, args: ConstructArgs) {
    super("Stores", name, args);
    this.papers = this.bucket("papers");
    this.password = this.secret("password", { config: "password" });
    this.build();
  }
}

class Watch extends Construct {
  constructor(name: string, { tasks, notify, ...args }: ConstructArgs & { tasks: TaskPart; notify: Queue[] }) {
    super("Watch", name, args);
    this.monitor("alarms", {
      alarms: [{ part: tasks, metric: "failures", above: 0, period: "1 minute" }],
      notify,
    });
    this.build();
  }
}

const cloud = local();
const { papers, password } = new Stores("stores", { cloud });
const outbox = new Inbox("outbox", { cloud }).messages;

const { runs } = new AsyncTask("workshop", {
  cloud,
  handler: code<typeof import("./workshop.ts")>(new URL("./workshop.ts", import.meta.url)),
  links: { papers: read(papers), password: read(password), outbox: send(outbox) },
  attempts: 1,
});
const pager = new Inbox("pager", { cloud }).messages;
new Watch("watch", { cloud, tasks: runs, notify: process.env.WORKSHOP_PAGER === "off" ? [] : [pager] });

export const millrace = cloud.output;
