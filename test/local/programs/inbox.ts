import { Construct, type ConstructArgs, type Queue } from "../../../lib/index.ts";

/** A queue of one's own, for what is to be told. */
export class Inbox extends Construct {
  readonly messages: Queue;

  constructor(name: string, args: ConstructArgs = {}) {
    super("Inbox", name, args);
    this.messages = this.queue("messages");
    this.build();
  }
}
