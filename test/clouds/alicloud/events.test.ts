import { describe, expect, it } from "vitest";
import { toEvents } from "../../../lib/clouds/alicloud/runtime/events.ts";
import { packMessage, unpackMessage } from "../../../lib/clouds/alicloud/runtime/message-body.ts";
import { isXmlText } from "../../../lib/clouds/alicloud/runtime/xml.ts";

const context = {
  requestId: "request-1",
  now: "2026-01-01T00:00:00.000Z",
  sources: { "videos-uploads-x1": "videos-uploads", "videos-requests-x1": "videos-requests" },
};
const events = (value: unknown) =>
  toEvents(Buffer.from(typeof value === "string" ? value : JSON.stringify(value)), context);

/** As in the help page on formats of events. */
const ossEvent = (key: string, eventName = "ObjectCreated:PutObject") => ({
  eventName,
  eventSource: "acs:oss",
  eventTime: "2022-08-13T06:45:43.000Z",
  eventVersion: "1.0",
  oss: {
    bucket: {
      arn: "acs:oss:cn-hangzhou:1:videos-uploads-x1",
      name: "videos-uploads-x1",
      ownerIdentity: "1",
      virtualBucket: "",
    },
    object: { key, size: 10, deltaSize: 10, eTag: "ABC", objectMeta: { mimeType: "video/mp4" } },
    ossSchemaVersion: "1.0",
    ruleId: "r",
  },
  region: "cn-hangzhou",
  requestParameters: { sourceIPAddress: "1.2.3.4" },
  responseElements: { requestId: "62F6" },
  userIdentity: { principalId: "1" },
});

describe("objects", () => {
  it.each(["in/a.mp4", "100%.mp4", "a+b.mp4", "a%2Fb.mp4", "with space.mp4", "视频/猫.mp4"])(
    "takes %s as it is",
    (key) => {
      expect(events({ events: [ossEvent(key)] })).toEqual([
        {
          type: "bucket.created",
          id: `62F6/${key}/ABC`,
          bucket: "videos-uploads",
          key,
          etag: "ABC",
          size: 10,
          time: "2022-08-13T06:45:43.000Z",
        },
      ]);
    },
  );

  it("takes every event of a call, and of those what was created", () => {
    const made = events({ events: [ossEvent("a"), ossEvent("b", "ObjectRemoved:DeleteObject"), ossEvent("c")] });
    expect(made).toMatchObject([{ key: "a" }, { key: "c" }]);
  });
});

describe("messages", () => {
  const message = (messageId: string, messageBody: unknown) => ({
    id: "e",
    source: "acs:mns",
    specversion: "1.0",
    type: "mns:Queue:SendMessage",
    datacontenttype: "application/json; charset=utf-8",
    subject: "acs:mns:cn-hangzhou:1:queues/videos-requests-x1",
    time: "2022-06-23T02:49:51.589Z",
    aliyunaccountid: "1",
    data: { requestId: "r", messageId, messageBody },
  });
  const received = (id: string, body: string) => ({
    type: "queue.received",
    id,
    queue: "videos-requests",
    body,
    attributes: {},
    receives: 1,
    time: "2022-06-23T02:49:51.589Z",
  });

  it("come as an array of objects, an array of texts, or one alone", () => {
    const two = [message("1", "a"), message("2", '{"b":1}')];
    const expected = [received("1", "a"), received("2", '{"b":1}')];
    expect(events(two)).toEqual(expected);
    expect(events(two.map((one) => JSON.stringify(one)))).toEqual(expected);
    expect(events(two[0])).toEqual(expected.slice(0, 1));
  });

  it("may come parsed", () => {
    expect(events([message("1", { a: 1 })])).toEqual([received("1", '{"a":1}')]);
  });

  it.each([
    ["plain", {}],
    ["<a> & \r\n", {}],
    ["\u0000 \u0007 \uFFFE 🎬 \uD800", {}],
    ['{"millrace":["a",{}]}', {}],
    ["猫", { colour: "blau", "a b": "\u0001" }],
    ["", {}],
  ])("%j with %j goes through XML and back", (body, attributes) => {
    const packed = packMessage({ body, attributes });
    expect(isXmlText(packed)).toBe(true);
    expect(unpackMessage(packed)).toEqual({ body, attributes });
  });

  it("text without attributes goes as it is, for everybody to read", () => {
    expect(packMessage({ body: '{"object":"猫.mp4"}', attributes: {} })).toBe('{"object":"猫.mp4"}');
  });
});

describe("the rest", () => {
  it("a timer names its schedule", () => {
    expect(events({ triggerTime: "2022-07-29T10:02:58Z", triggerName: "t", payload: "nightly" })).toEqual([
      {
        type: "schedule.fired",
        id: "nightly/2022-07-29T10:02:58.000Z",
        schedule: "nightly",
        time: "2022-07-29T10:02:58.000Z",
      },
    ]);
  });

  it("the end of an asynchronous call is a call with its envelope", () => {
    const envelope = {
      timestamp: 1660120276975,
      requestContext: {
        requestId: "r",
        functionArn: "acs:fc:cn-hangzhou:1:functions/f",
        condition: "",
        approximateInvokeCount: 3,
      },
      requestPayload: "{}",
      responseContext: { statusCode: 200, functionError: "UnhandledInvocationError" },
      responsePayload: "",
    };
    expect(events(envelope)).toMatchObject([{ type: "function.invoked", id: "request-1", payload: envelope }]);
  });

  it("a call of ours has its own id and options; anything else is a payload", () => {
    const call = {
      millrace: "call",
      id: "c",
      payload: [1],
      options: { tenant: "t" },
      time: "2026-01-02T00:00:00.000Z",
    };
    expect(events(call)).toEqual([
      { type: "function.invoked", id: "c", payload: [1], options: { tenant: "t" }, time: "2026-01-02T00:00:00.000Z" },
    ]);
    const payloadOf = (value: unknown) => (events(value)[0] as { payload?: unknown }).payload;
    expect(payloadOf({ a: 1 })).toEqual({ a: 1 });
    expect(payloadOf("no JSON")).toBe("no JSON");
    expect(payloadOf([])).toEqual([]);
    expect(payloadOf({ events: [] })).toEqual({ events: [] });
  });
});
