import { headers, type Msg } from "@nats-io/transport-node";
import { expect, test } from "vitest";
import { toMessage } from "../../../lib/clouds/kubernetes/runtime/message.ts";

/** A delivery as the server makes it, of a message that somebody has published. */
function delivery(published: Readonly<Record<string, string>>): Msg {
  const all = headers();
  for (const [name, value] of Object.entries(published)) all.set(name, value);
  const reply = "$JS.ACK.orders.receivers.2.7.9.1760000000000000000.0";
  return { headers: all, reply, string: () => "body" } as unknown as Msg;
}

test("attributes are ours, and the headers of anybody else", () => {
  const message = delivery({ "Millrace-Attributes": '{"kind":"new","über":"caf\\u00e9"}', Traceparent: "00-1" });
  expect(toMessage(message)).toMatchObject({
    body: "body",
    receives: 2,
    attributes: { kind: "new", über: "café", Traceparent: "00-1" },
  });
});

test.each(["kind=new", "{", "null", '"kind"', "7", '["kind"]'])("a header of ours that says %s has none", (text) => {
  expect(toMessage(delivery({ "Millrace-Attributes": text })).attributes).toEqual({});
});

test("what is no text is no attribute", () => {
  expect(toMessage(delivery({ "Millrace-Attributes": '{"kind":"new","size":7}' })).attributes).toEqual({ kind: "new" });
});
