import { expect, test } from "vitest";
import { type Environment, readEnvironment, writeEnvironment } from "../../lib/shared/environment.ts";

const environment = (links: Environment["links"]): Environment => ({
  ...{ place: { region: "r" }, logLevel: "info", tools: {}, sources: {}, links },
});

test("links are read as they were written, whatever they are called", () => {
  const links = { orders: { kind: "stream", part: "shop-orders" }, "$keys.user_1": { kind: "secret", part: "user_1" } };
  expect(readEnvironment(writeEnvironment(environment(links)))).toEqual(environment(links));
});

test("who vouches for brokers is written once, however many links have it", () => {
  const [one, two] = ["A".repeat(1000), "B".repeat(1000)];
  const links = { a: { part: "a", ca: one }, b: { part: "b", ca: two }, c: { part: "c", ca: one }, d: { part: "d" } };
  const written = writeEnvironment(environment(links));
  expect(Object.values(written).join("").split(one)).toHaveLength(2);
  expect(readEnvironment(written).links).toEqual(links);
});
