import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import { type ErrorKind, MillraceError } from "../../../runtime/errors.ts";
import type { Message, QueueReceiver, QueueSender, SendOptions } from "../../../runtime/ports.ts";
import type { PeekedMessage, QueueInspector, QueueStats } from "../../../runtime/system.ts";
import type { AlicloudWorld } from "./account.ts";
import { discard, encode, type HttpAnswer, type HttpRequest, send, textOf } from "./http.ts";
import { packMessage, unpackMessage } from "./message-body.ts";
import { signSmq } from "./signature.ts";
import { type Element, escapeXml, readXml } from "./xml.ts";

const VERSION = "2015-06-06";
/** Messages in one answer. https://www.alibabacloud.com/help/en/mns/developer-reference/batchreceivemessage */
const MOST_MESSAGES = 16;
/** A receive waits that long for a message, in seconds: without a wait, one that is there may not be found. */
const WAIT = 1;
/** The service has no zero. https://www.alibabacloud.com/help/en/mns/developer-reference/changemessagevisibility */
const LEAST_VISIBILITY = 1;

/** A queue of Simple Message Queue, formerly MNS. */
export const port = (address: LinkAddress, world: AlicloudWorld): QueueSender & QueueReceiver & QueueInspector =>
  new SmqQueue(address, world);

class SmqQueue implements QueueSender, QueueReceiver, QueueInspector {
  readonly queue: string;
  readonly #path: string;
  readonly #origin: string;
  readonly #world: AlicloudWorld;
  /** A receipt's successor: the service gives another one with every change of the visibility. */
  readonly #receipts = new Map<string, string>();

  constructor(address: LinkAddress, world: AlicloudWorld) {
    this.queue = address.part;
    this.#path = `/queues/${encode(field(address, "queue"))}`;
    this.#origin =
      address.endpoint ?? `https://${field(address, "account")}.mns.${field(address, "region")}.aliyuncs.com`;
    this.#world = world;
  }

  /** https://www.alibabacloud.com/help/en/mns/developer-reference/sendmessage */
  async send(body: string, { attributes = {}, delay }: SendOptions = {}): Promise<string> {
    const text = escapeXml(packMessage({ body, attributes }));
    const wait = delay === undefined ? "" : `<DelaySeconds>${Math.ceil(delay)}</DelaySeconds>`;
    const answer = await this.#send("POST", {
      body: `<?xml version="1.0" encoding="utf-8"?><Message xmlns="http://mns.aliyuncs.com/doc/v1/"><MessageBody>${text}</MessageBody>${wait}</Message>`,
    });
    if (answer.status !== 201) throw await this.#error(answer, "send");
    return readXml(await textOf(answer)).text("MessageId");
  }

  async receive({ limit = MOST_MESSAGES }: { readonly limit?: number } = {}): Promise<readonly Message[]> {
    const query = { numOfMessages: String(Math.min(limit, MOST_MESSAGES)), waitseconds: String(WAIT) };
    const answer = await this.#send("GET", { query });
    if (answer.status === 404) {
      const text = await textOf(answer);
      if (codeOf(text) === "MessageNotExist") return [];
      throw this.#errorOf(answer.status, codeOf(text), "receive");
    }
    if (answer.status !== 200) throw await this.#error(answer, "receive");
    return readXml(await textOf(answer))
      .all("Message")
      .map(toMessage);
  }

  async acknowledge(receipt: string): Promise<void> {
    const query = { ReceiptHandle: this.#receipts.get(receipt) ?? receipt };
    const answer = await this.#send("DELETE", { query });
    if (answer.status !== 204) throw await this.#error(answer, "acknowledge");
    this.#receipts.delete(receipt);
    await discard(answer);
  }

  async extend(receipt: string, seconds: number): Promise<void> {
    const query = {
      receiptHandle: this.#receipts.get(receipt) ?? receipt,
      visibilityTimeout: String(Math.max(LEAST_VISIBILITY, Math.ceil(seconds))),
    };
    const answer = await this.#send("PUT", { query });
    if (answer.status !== 200) throw await this.#error(answer, "extend");
    this.#receipts.set(receipt, readXml(await textOf(answer)).text("ReceiptHandle"));
  }

  /** The service does not say how old the oldest message is. https://www.alibabacloud.com/help/en/mns/developer-reference/getqueueattributes */
  async stats(): Promise<QueueStats> {
    const answer = await this.#request("GET", this.#path, {});
    if (answer.status !== 200) throw await this.#error(answer, "stats");
    const queue = readXml(await textOf(answer));
    const count = (name: string) => Number(queue.text(name));
    return {
      ready: count("ActiveMessages"),
      inFlight: count("InactiveMessages"),
      delayed: count("DelayMessages"),
    };
  }

  /** At most sixteen: the service shows the first ones alone. https://www.alibabacloud.com/help/en/mns/developer-reference/batchpeekmessage */
  async peek(limit: number): Promise<readonly PeekedMessage[]> {
    const query = { peekonly: "true", numOfMessages: String(Math.min(limit, MOST_MESSAGES)) };
    const answer = await this.#send("GET", { query });
    if (answer.status === 200)
      return readXml(await textOf(answer))
        .all("Message")
        .map(toPeeked);
    const code = codeOf(await textOf(answer));
    if (code === "MessageNotExist") return [];
    throw this.#errorOf(answer.status, code, "peek");
  }

  #send(method: HttpRequest["method"], options: RequestOptions): Promise<HttpAnswer> {
    return this.#request(method, `${this.#path}/messages`, options);
  }

  #request(method: HttpRequest["method"], path: string, options: RequestOptions): Promise<HttpAnswer> {
    const { query = {}, body } = options;
    const headers = { "content-type": "text/xml", "x-mns-version": VERSION };
    const request = { method, origin: this.#origin, path, query, headers };
    return send({ ...request, ...(body !== undefined && { body }) }, signSmq(this.#world.credentials), this.#world);
  }

  async #error(answer: HttpAnswer, verb: string): Promise<MillraceError> {
    return this.#errorOf(answer.status, codeOf(await textOf(answer)), verb);
  }

  #errorOf(status: number, code: string, verb: string): MillraceError {
    const message = `${verb} on queue ${this.queue}: Simple Message Queue answers ${status}${code && ` ${code}`}`;
    return new MillraceError(CODES[code] ?? KINDS[status] ?? "failed", message);
  }
}

type RequestOptions = Partial<Pick<HttpRequest, "query" | "body">>;

const toMessage = (message: Element): Message => ({ ...toPeeked(message), receipt: message.text("ReceiptHandle") });

const toPeeked = (message: Element): PeekedMessage => ({
  id: message.text("MessageId"),
  ...unpackMessage(message.text("MessageBody")),
  receives: Number(message.text("DequeueCount")),
  time: new Date(Number(message.text("EnqueueTime"))).toISOString(),
});

const codeOf = (text: string): string => (text.startsWith("<") ? readXml(text).text("Code") : "");

/** https://www.alibabacloud.com/help/en/mns/developer-reference/error-codes */
const CODES: Readonly<Record<string, ErrorKind>> = {
  QueueNotExist: "not-found",
  MessageNotExist: "conflict",
  ReceiptHandleError: "conflict",
};
const KINDS: Readonly<Record<number, ErrorKind>> = { 400: "bad-input", 403: "refused", 404: "not-found" };
