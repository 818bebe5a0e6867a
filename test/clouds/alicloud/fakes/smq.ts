import { createHmac, randomUUID } from "node:crypto";
import { parseXml, type XmlElement } from "@rgrove/parse-xml";
import { type FakeAnswer, type FakeRequest, FakeServer, isToken, KEYS } from "./server.ts";

interface StoredMessage {
  readonly id: string;
  readonly body: string;
  readonly sent: number;
  visible: number;
  count: number;
  receipt: string;
}

export interface FakeQueueOptions {
  /** Seconds. */
  readonly visibility: number;
  readonly dead?: { readonly queue: string; readonly maxReceiveCount: number };
}

/** Simple Message Queue on the wire, as its API reference says it. */
export class FakeSmq {
  readonly server = new FakeServer((request) => this.#answer(request));
  readonly #queues = new Map<string, StoredMessage[]>();
  readonly #options: Readonly<Record<string, FakeQueueOptions>>;

  constructor(queues: Readonly<Record<string, FakeQueueOptions>>) {
    this.#options = queues;
    for (const name of Object.keys(queues)) this.#queues.set(name, []);
  }

  /** What lies in a queue, received or not. */
  bodies(queue: string): readonly string[] {
    return this.#queues.get(queue)!.map(({ body }) => body);
  }

  async #answer(request: FakeRequest): Promise<FakeAnswer> {
    if (!isSigned(request)) return error(403, "SignatureDoesNotMatch");
    if (this.server.forbids(request)) return error(403, "AccessDenied");
    const [, queue = "", part] = /^\/queues\/([^/]+)(\/messages)?$/.exec(request.path) ?? [];
    const messages = this.#queues.get(decodeURIComponent(queue));
    if (!messages) return error(404, "QueueNotExist");
    if (part === undefined) return this.#attributes(messages);
    if (request.query.peekonly === "true") return this.#peek(messages, Number(request.query.numOfMessages));
    switch (request.method) {
      case "POST":
        return this.#send(messages, request.body);
      case "GET":
        return this.#receive(queue, messages, request.query);
      case "DELETE":
        return this.#delete(messages, request.query.ReceiptHandle ?? "");
      case "PUT":
        return this.#change(messages, request.query);
      default:
        return error(405, "MethodNotAllowed");
    }
  }

  #attributes(messages: readonly StoredMessage[]): FakeAnswer {
    const now = this.server.now();
    const ready = messages.filter(({ visible }) => visible <= now).length;
    const delayed = messages.filter(({ visible, count }) => visible > now && count === 0).length;
    const counts = `<ActiveMessages>${ready}</ActiveMessages><InactiveMessages>${messages.length - ready - delayed}</InactiveMessages><DelayMessages>${delayed}</DelayMessages>`;
    return {
      status: 200,
      body: `<?xml version="1.0"?><Queue xmlns="http://mns.aliyuncs.com/doc/v1/">${counts}</Queue>`,
    };
  }

  #peek(messages: readonly StoredMessage[], most: number): FakeAnswer {
    if (most < 1 || most > 16) return error(400, "InvalidArgument");
    const ready = messages.filter(({ visible }) => visible <= this.server.now()).slice(0, most);
    if (ready.length === 0) return error(404, "MessageNotExist");
    return { status: 200, body: `<?xml version="1.0"?><Messages>${ready.map(toXml).join("")}</Messages>` };
  }

  #send(messages: StoredMessage[], body: Buffer): FakeAnswer {
    const { root } = parseXml(body.toString());
    const textOf = (name: string) =>
      ((root?.children ?? []) as XmlElement[]).find((child) => child.name === name)?.text;
    const text = textOf("MessageBody") ?? "";
    const delay = Number(textOf("DelaySeconds") ?? 0);
    if (Buffer.byteLength(text) > 65_536 || delay < 0 || delay > 604_800) return error(400, "InvalidArgument");
    const now = this.server.now();
    const message = { id: randomUUID(), body: text, sent: now, visible: now + delay * 1000, count: 0, receipt: "" };
    messages.push(message);
    return {
      status: 201,
      body: `<?xml version="1.0"?><Message xmlns="http://mns.aliyuncs.com/doc/v1/"><MessageId>${message.id}</MessageId></Message>`,
    };
  }

  async #receive(queue: string, messages: StoredMessage[], query: FakeRequest["query"]): Promise<FakeAnswer> {
    const most = Number(query.numOfMessages);
    if (most < 1 || most > 16) return error(400, "InvalidArgument");
    const until = Date.now() + Number(query.waitseconds ?? 0) * 1000;
    for (;;) {
      const taken = this.#take(queue, messages, most);
      if (taken.length > 0)
        return { status: 200, body: `<?xml version="1.0"?><Messages>${taken.map(toXml).join("")}</Messages>` };
      if (Date.now() >= until) return error(404, "MessageNotExist");
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  #take(queue: string, messages: StoredMessage[], most: number): readonly StoredMessage[] {
    const { visibility, dead } = this.#options[queue]!;
    const now = this.server.now();
    const due = messages.filter(({ visible }) => visible <= now);
    const tooOften = dead ? due.filter(({ count }) => count >= dead.maxReceiveCount) : [];
    for (const message of tooOften) {
      messages.splice(messages.indexOf(message), 1);
      this.#queues.get(dead!.queue)!.push({ ...message, count: 0 });
    }
    const taken = due.filter((message) => !tooOften.includes(message)).slice(0, most);
    for (const message of taken) {
      message.count += 1;
      message.visible = now + visibility * 1000;
      message.receipt = randomUUID();
    }
    return taken;
  }

  #delete(messages: StoredMessage[], receipt: string): FakeAnswer {
    const index = messages.findIndex((message) => message.receipt === receipt && message.visible > this.server.now());
    if (index < 0) return error(404, "MessageNotExist");
    messages.splice(index, 1);
    return { status: 204 };
  }

  #change(messages: StoredMessage[], { receiptHandle = "", visibilityTimeout }: FakeRequest["query"]): FakeAnswer {
    const message = messages.find(({ receipt }) => receipt === receiptHandle);
    const seconds = Number(visibilityTimeout);
    if (seconds < 1 || seconds > 43_200) return error(400, "InvalidArgument");
    if (!message || message.visible <= this.server.now()) return error(404, "MessageNotExist");
    message.visible = this.server.now() + seconds * 1000;
    message.receipt = randomUUID();
    return {
      status: 200,
      body: `<?xml version="1.0"?><ChangeVisibility><ReceiptHandle>${message.receipt}</ReceiptHandle><NextVisibleTime>${message.visible}</NextVisibleTime></ChangeVisibility>`,
    };
  }
}

const toXml = ({ id, receipt, body, sent, visible, count }: StoredMessage): string =>
  `<Message><MessageId>${id}</MessageId><ReceiptHandle>${receipt}</ReceiptHandle><MessageBody>${escaped(body)}</MessageBody><EnqueueTime>${Math.floor(sent)}</EnqueueTime><NextVisibleTime>${visible}</NextVisibleTime><FirstDequeueTime>${sent}</FirstDequeueTime><DequeueCount>${count}</DequeueCount><Priority>8</Priority></Message>`;

const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** https://www.alibabacloud.com/help/en/mns/developer-reference/request-protocol-description */
function isSigned({ method, path, query, headers }: FakeRequest): boolean {
  if (!isToken(headers["security-token"]) || headers["x-mns-version"] !== "2015-06-06") return false;
  const search = new URLSearchParams(Object.entries(query).sort()).toString();
  const lines = [
    method,
    headers["content-md5"] ?? "",
    headers["content-type"],
    headers.date,
    "x-mns-version:2015-06-06",
    search ? `${path}?${search}` : path,
  ];
  const signature = createHmac("sha1", KEYS.accessKeySecret).update(lines.join("\n")).digest("base64");
  return headers.authorization === `MNS ${KEYS.accessKeyId}:${signature}`;
}

const error = (status: number, code: string): FakeAnswer => ({
  status,
  body: `<?xml version="1.0"?><Error xmlns="http://mns.aliyuncs.com/doc/v1"><Code>${code}</Code><Message>${code}</Message></Error>`,
});
