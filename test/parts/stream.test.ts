import { X509Certificate } from "node:crypto";
import { expect, test } from "vitest";
import { type Kafka, kafkaFields, streamPlan } from "../../lib/parts/stream.ts";
import { Units } from "../../lib/parts/units.ts";
import { connectionOf } from "../../lib/runtime/kafka/connection.ts";
import type { Problem } from "../../lib/shared/problem.ts";
import { AUTHORITY } from "./authority.ts";

function planOf(kafka: Partial<Kafka>) {
  const problems: Problem[] = [];
  const names = { name: "shop-orders", stem: "shop-orders", construct: "shop", cloud: "here" };
  const plan = streamPlan(names as never, { kafka: { brokers: ["b:9093"], ...kafka } }, new Units("orders", problems));
  return { kafka: plan.kafka!, problems };
}

test("an authority of one's own comes to whoever connects as it was given, and connections are encrypted", () => {
  const { kafka, problems } = planOf({ ca: `comment\n${AUTHORITY}${AUTHORITY}` });
  expect(problems).toEqual([]);
  expect(kafka.tls).toBe(true);
  const connection = connectionOf({ kind: "stream", part: "orders", ...kafkaFields(kafka) });
  expect(connection).toMatchObject({ brokers: ["b:9093"], tls: true });
  const fingerprint = (pem: string) => new X509Certificate(pem).fingerprint256;
  expect(connection.ca?.map(fingerprint)).toEqual([AUTHORITY, AUTHORITY].map(fingerprint));
  expect(kafkaFields(planOf({}).kafka)).toEqual({ brokers: "b:9093", tls: "false" });
});

test.each([
  ["text", { ca: "ca.pem" }, /certificates are wanted, as PEM/],
  ["a certificate that is none", { ca: AUTHORITY.replace("MIIB", "AAAA") }, /certificates are wanted/],
  ["one without encryption", { ca: AUTHORITY, tls: false }, /does nothing without tls/],
])("an authority that is %s is a problem", (_what, kafka, message) => {
  expect(planOf(kafka).problems).toEqual([{ path: "orders.kafka.ca", message: expect.stringMatching(message) }]);
});
