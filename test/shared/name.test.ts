import fc from "fast-check";
import { expect, test } from "vitest";
import { type NameOwner, type NameRule, physicalName, shortHash } from "../../lib/shared/name.ts";

const OWNER: NameOwner = { account: "1234", project: "shop", stack: "dev" };

/** The rules of real services. */
const RULES: readonly NameRule[] = [
  { max: 63, allowed: /[a-z0-9-]/, lowerCase: true }, // buckets
  { max: 64, allowed: /[A-Za-z0-9_-]/ }, // functions
  { max: 120, allowed: /[A-Za-z0-9-]/ }, // queues
  { max: 52, allowed: /[a-z0-9-]/, lowerCase: true }, // CronJobs
  { max: 16, allowed: /[a-z0-9-]/, lowerCase: true }, // the tightest
];
const rule = fc.constantFrom(...RULES);
const stem = fc.oneof(
  fc.string({ minLength: 1, maxLength: 200 }),
  fc.string({ minLength: 1, maxLength: 200, unit: "grapheme" }),
  fc.stringMatching(/^[a-zA-Z][a-zA-Z0-9-]{0,80}$/),
);
const owner = fc.record({ account: fc.string(), project: fc.string(), stack: fc.string() });

test("a name is its stem and a hash", () => {
  expect(physicalName("videos-uploads", OWNER, RULES[0]!)).toMatch(/^videos-uploads-[a-z0-9]{8}$/);
});

test("it never exceeds its rule, whatever the stem", () => {
  fc.assert(
    fc.property(stem, owner, rule, (text, who, { max, allowed, ...rest }) => {
      const name = physicalName(text, who, { max, allowed, ...rest });
      expect(name.length).toBeLessThanOrEqual(max);
      for (const character of name) expect(character).toMatch(new RegExp(`^${allowed.source}$`));
    }),
  );
});

test("it begins with a letter and ends with a letter or a digit, which every service allows", () => {
  fc.assert(
    fc.property(stem, rule, (text, of) => {
      expect(physicalName(text, OWNER, of)).toMatch(/^[A-Za-z][A-Za-z0-9_-]*[A-Za-z0-9]$/);
    }),
  );
});

test("different stems and different owners never meet, even when they are cut or differ in case only", () => {
  fc.assert(
    fc.property(stem, stem, rule, (one, other, of) => {
      fc.pre(one !== other);
      expect(physicalName(one, OWNER, of)).not.toBe(physicalName(other, OWNER, of));
    }),
  );
  const names = [
    physicalName("a", { account: "1", project: "p", stack: "s" }, RULES[0]!),
    physicalName("a", { account: "1", project: "p", stack: "t" }, RULES[0]!),
    physicalName("a", { account: "1", project: "q", stack: "s" }, RULES[0]!),
    physicalName("a", { account: "2", project: "p", stack: "s" }, RULES[0]!),
    physicalName("A", { account: "1", project: "p", stack: "s" }, RULES[0]!),
  ];
  expect(new Set(names).size).toBe(names.length);
});

test("fields of the owner do not run into each other", () => {
  const one = physicalName("a", { account: "1", project: "2", stack: "3" }, RULES[0]!);
  expect(physicalName("a", { account: "12", project: "", stack: "3" }, RULES[0]!)).not.toBe(one);
});

test("a cut name keeps its whole hash", () => {
  const of = RULES[4]!;
  fc.assert(
    fc.property(fc.stringMatching(/^[a-z][a-z0-9]{20,60}$/), (text) => {
      const name = physicalName(text, OWNER, of);
      const hash = shortHash([OWNER.account, OWNER.project, OWNER.stack, text].join("\0"), 8);
      expect(name).toBe(`${text.slice(0, of.max - 9)}-${hash}`);
    }),
  );
});

test("the same name again, on every machine", () => {
  expect(physicalName("videos-uploads", OWNER, RULES[0]!)).toBe("videos-uploads-2vl8zifh");
});

test("a hash has the length asked for, and stays what it is", () => {
  expect(shortHash("")).toHaveLength(10);
  expect(shortHash("a", 4)).toBe(shortHash("a", 10).slice(0, 4));
  expect(shortHash("millrace")).toMatch(/^[a-z0-9]{10}$/);
});
