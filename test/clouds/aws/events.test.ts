import { describe, expect, it } from "vitest";
import { toEvents } from "../../../lib/clouds/aws/runtime/events.ts";

const context = {
  requestId: "request-1",
  now: "2026-01-01T00:00:00.000Z",
  sources: { "videos-uploads-x1": "videos-uploads", "videos-requests-x1": "videos-requests" },
};
const events = (value: unknown) => toEvents(value, context);

const KEYS = ["in/a.mp4", "100%.mp4", "a+b.mp4", "a%2Fb.mp4", "with space.mp4", "视频/猫.mp4", "folder/"];

/** As in the user guide's page on events of S3. */
const objectEvent = (key: string, detailType = "Object Created") => ({
  version: "0",
  id: "17793124-05d4-b198-2fde-7ededc63b103",
  "detail-type": detailType,
  source: "aws.s3",
  account: "111122223333",
  time: "2021-11-12T00:00:00Z",
  region: "ca-central-1",
  resources: ["arn:aws:s3:::videos-uploads-x1"],
  detail: {
    version: "0",
    bucket: { name: "videos-uploads-x1" },
    object: { key, size: 5, etag: "b1946ac92492d2347c6235b4d2611184", sequencer: "00617F08299329D189" },
    "request-id": "N4N7GDK58NMKJ12R",
    requester: "123456789012",
    "source-ip-address": "1.2.3.4",
    reason: "PutObject",
  },
});

const record = (key: string, eventName = "ObjectCreated:Put") => ({
  eventVersion: "2.1",
  eventSource: "aws:s3",
  awsRegion: "us-west-2",
  eventTime: "1970-01-01T00:00:00.000Z",
  eventName,
  s3: {
    s3SchemaVersion: "1.0",
    bucket: { name: "videos-uploads-x1", arn: "arn:aws:s3:::videos-uploads-x1" },
    object: { key, size: 1024, eTag: "d41d8cd98f00b204e9800998ecf8427e", sequencer: "0055AED6DCD90281E5" },
  },
});

/** As S3 writes keys in its own notifications. */
const formEncoded = (key: string) => encodeURIComponent(key).replaceAll("%20", "+").replaceAll("%2F", "/");

describe("objects", () => {
  it.each(KEYS)("EventBridge tells of %s as it is", (key) => {
    expect(events(objectEvent(key))).toEqual([
      {
        type: "bucket.created",
        id: `00617F08299329D189/${key}/b1946ac92492d2347c6235b4d2611184`,
        bucket: "videos-uploads",
        key,
        etag: "b1946ac92492d2347c6235b4d2611184",
        size: 5,
        time: "2021-11-12T00:00:00.000Z",
      },
    ]);
  });

  it.each(KEYS)("S3 itself tells of %s encoded", (key) => {
    expect(events({ Records: [record(formEncoded(key))] })).toEqual([
      {
        type: "bucket.created",
        id: `0055AED6DCD90281E5/${key}/d41d8cd98f00b204e9800998ecf8427e`,
        bucket: "videos-uploads",
        key,
        etag: "d41d8cd98f00b204e9800998ecf8427e",
        size: 1024,
        time: "1970-01-01T00:00:00.000Z",
      },
    ]);
  });

  it("two creations of one key are two events, and one told twice is one", () => {
    const ids = ["1", "2", "1"].map((sequencer) => {
      const event = objectEvent("a");
      return events({ ...event, detail: { ...event.detail, object: { ...event.detail.object, sequencer } } })[0]!.id;
    });
    expect(new Set(ids).size).toBe(2);
    expect(ids[0]).toBe(ids[2]);
  });

  it("only of those that were created", () => {
    const all = [
      record("a"),
      record("b", "ObjectRemoved:Delete"),
      record("c", "s3:ObjectCreated:CompleteMultipartUpload"),
    ];
    expect(events({ Records: all })).toMatchObject([{ key: "a" }, { key: "c" }]);
    expect(events(objectEvent("a", "Object Deleted"))).toMatchObject([{ type: "function.invoked" }]);
  });
});

describe("messages", () => {
  const message = (messageId: string, body: string, messageAttributes = {}, ApproximateReceiveCount = "1") => ({
    messageId,
    receiptHandle: "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
    body,
    attributes: { ApproximateReceiveCount, SentTimestamp: "1545082649183", SenderId: "AIDAIENQZJOLO23YVJ4VO" },
    messageAttributes,
    md5OfBody: "e4e68fb7bd0e697a0ae8f1bb342846b3",
    eventSource: "aws:sqs",
    eventSourceARN: "arn:aws:sqs:us-east-2:123456789012:videos-requests-x1",
    awsRegion: "us-east-2",
  });
  const received = { type: "queue.received", queue: "videos-requests", time: "2018-12-17T21:37:29.183Z" };

  it("come as a batch, with their attributes and how often they came", () => {
    const attributes = {
      colour: { stringValue: "blue", dataType: "String" },
      bytes: { binaryValue: "AA==", dataType: "Binary" },
    };
    expect(events({ Records: [message("1", "a"), message("2", '{"b":1}', attributes, "3")] })).toEqual([
      { ...received, id: "1", body: "a", attributes: {}, receives: 1 },
      { ...received, id: "2", body: '{"b":1}', attributes: { colour: "blue" }, receives: 3 },
    ]);
  });

  it("come packed where SQS does not take them as they are", () => {
    const packed = '{"millrace":["",{"a b":"\\u0001"}]}';
    expect(events({ Records: [message("1", packed)] })).toMatchObject([{ body: "", attributes: { "a b": "\u0001" } }]);
  });
});

describe("the rest", () => {
  it("a schedule names itself and when it was due", () => {
    expect(events({ millrace: "schedule", schedule: "nightly", time: "2022-03-22T18:59:43Z" })).toEqual([
      {
        type: "schedule.fired",
        id: "nightly/2022-03-22T18:59:43.000Z",
        schedule: "nightly",
        time: "2022-03-22T18:59:43.000Z",
      },
    ]);
  });

  it("the end of an asynchronous call is a call with its envelope", () => {
    const envelope = {
      version: "1.0",
      timestamp: "2019-11-14T18:16:05.568Z",
      requestContext: {
        requestId: "e4b46cbf-b738-xmpl-8880-a18cdf61200e",
        functionArn: "arn:aws:lambda:us-east-2:123456789012:function:f:$LATEST",
        condition: "RetriesExhausted",
        approximateInvokeCount: 3,
      },
      requestPayload: { a: 1 },
      responseContext: { statusCode: 200, executedVersion: "$LATEST", functionError: "Unhandled" },
      responsePayload: { errorMessage: "Task timed out after 3.00 seconds" },
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
    for (const payload of [{ a: 1 }, "text", [], null, { Records: [] }, { Records: [1] }, { Records: [{ s3: {} }] }]) {
      expect(events(payload)).toMatchObject([
        { type: "function.invoked", id: "request-1", payload, time: context.now },
      ]);
    }
  });
});
