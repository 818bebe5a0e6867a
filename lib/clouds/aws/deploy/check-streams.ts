import type { FunctionPlan, KafkaPlan, PartPlan, StreamPlan } from "../../../parts/plan.ts";
import type { Problem } from "../../../shared/problem.ts";
import type { AwsSettings } from "./shared.ts";
import { CLUSTER_ARN } from "./stream.ts";

type Find = (name: string) => PartPlan | undefined;

/** What is missing of a stream: the Kafka it lies in, which is paid by the hour and never made. */
export function checkStream({ name, kafka, existing }: StreamPlan): readonly Problem[] {
  if (!kafka) {
    return [
      {
        path: `${name}.kafka`,
        message: "a Kafka costs from the moment it is there, so none is made: name yours",
        allowed: 'kafka: { brokers: ["…:9096"], instance: "arn:aws:kafka:…:cluster/…/…" }',
      },
    ];
  }
  const { instance } = kafka;
  const path = `${name}.kafka.instance`;
  if (instance !== undefined && !CLUSTER_ARN.test(instance)) {
    return [
      {
        path,
        message: "the ARN of an MSK cluster is wanted",
        given: instance,
        allowed: "arn:aws:kafka:<region>:<account>:cluster/<name>/<id>",
      },
    ];
  }
  if (instance !== undefined && kafka.ca !== undefined) {
    return [
      {
        path: `${name}.kafka.ca`,
        message: "MSK's brokers are vouched for by an authority that everybody knows, and Lambda takes no other",
        allowed: "no ca, or no instance",
      },
    ];
  }
  if (existing !== undefined || instance !== undefined) return [];
  return [
    {
      path,
      message: "a new topic is made in an MSK cluster, by its ARN",
      allowed: 'instance: "arn:aws:kafka:…:cluster/…/…", or a topic you have by existing',
    },
  ];
}

/** What is wrong with the streams that start a function or that it is linked to. */
export const checkStreamsOf = (settings: AwsSettings, plan: FunctionPlan, find: Find): readonly Problem[] => [
  ...checkTime(plan),
  ...checkTwice(plan, find),
  ...checkAccess(settings, plan, find),
  ...checkWay(settings, plan, find),
];

const streamsOf = ({ sources }: FunctionPlan): readonly string[] =>
  sources.flatMap((source) => (source.type === "stream.consumed" ? [source.stream] : []));

/** https://docs.aws.amazon.com/lambda/latest/dg/with-msk.html */
const LONGEST = 14 * 60;

const checkTime = (plan: FunctionPlan): readonly Problem[] =>
  streamsOf(plan).length === 0 || plan.timeout <= LONGEST
    ? []
    : [
        {
          path: `${plan.name}.timeout`,
          message: "Lambda takes no more time for what a Kafka brings",
          given: `${plan.timeout} seconds`,
          allowed: 'at most "14 minutes"; hand longer work to a task',
        },
      ];

/** Events name no more of a stream than the topic. */
function checkTwice(plan: FunctionPlan, find: Find): readonly Problem[] {
  const topics = streamsOf(plan).map((stream) => find(stream)?.existing ?? stream);
  return topics
    .filter((topic, index) => topics.indexOf(topic) < index)
    .map((topic) => ({
      path: `${plan.name}.when`,
      message: "the function is started by a topic of this name already, and its events say no more than the name",
      given: topic,
    }));
}

/** What Lambda knows of users, of encryption and of ways to a Kafka. https://docs.aws.amazon.com/lambda/latest/dg/kafka-cluster-auth.html */
function checkAccess({ existing }: AwsSettings, plan: FunctionPlan, find: Find): readonly Problem[] {
  const path = `${plan.name}.when`;
  return streamsOf(plan).flatMap((stream): readonly Problem[] => {
    const found = find(stream);
    if (found?.kind !== "stream" || !found.kafka) return [];
    const { instance, user, mechanism, tls } = found.kafka;
    const secret = user === undefined ? undefined : find(user)?.existing;
    const rules = [
      {
        isKept: secret === undefined || secret.startsWith("arn:"),
        message: `Lambda finds the user of ${stream} by the whole ARN of its secret`,
        given: secret,
        allowed: "arn:aws:secretsmanager:…:secret:<name>-<six characters>",
      },
      {
        isKept: user === undefined || tls,
        message: `Lambda tells no password where nothing is encrypted: ${stream} needs tls`,
        given: "tls: false",
        allowed: "tls: true",
      },
      {
        isKept: user === undefined || instance === undefined || mechanism === "scram-sha-512",
        message: `users of MSK are known by SCRAM alone: ${stream} needs another mechanism`,
        given: mechanism,
        allowed: "scram-sha-512",
      },
      {
        isKept: user !== undefined || instance !== undefined || existing?.network !== undefined,
        message: `Lambda reads ${stream} over the internet as a user, or within a network: name one of them`,
        given: found.kafka.brokers.join(","),
        allowed: "kafka: { user }, or aws({ existing: { network: { subnets, securityGroups } } })",
      },
    ];
    return rules
      .filter(({ isKept }) => !isKept)
      .map(({ message, given, allowed }) => ({ path, message, given, allowed }));
  });
}

/** A function that is in no network reaches the internet alone, and one with a volume not even that. */
function checkWay({ existing }: AwsSettings, { name, links }: FunctionPlan, find: Find): readonly Problem[] {
  if (existing?.network) return [];
  const isInside = Object.values(links).some(({ part }) => find(part)?.kind === "volume");
  return Object.entries(links).flatMap(([link, { part }]): readonly Problem[] => {
    const plan = find(part);
    if (plan?.kind !== "stream") return [];
    const broker = plan.kafka?.brokers.find((one) => isInside || isPrivate(one));
    if (broker === undefined) return [];
    return [
      {
        path: `${name}.links.${link}`,
        message: isInside
          ? "a function that mounts a volume is in a network without a way out: name one from which the Kafka is reached by aws({ existing: { network: { subnets, securityGroups } } })"
          : "this Kafka is reached from its own network alone: name that by aws({ existing: { network: { subnets, securityGroups } } })",
        given: broker,
      },
    ];
  });
}

/** Public brokers of MSK are called so. https://docs.aws.amazon.com/msk/latest/developerguide/public-access.html */
const isPrivate = (broker: string): boolean =>
  (/\.kafka(-serverless)?\.[a-z0-9-]+\.amazonaws\.com(\.cn)?(:|$)/.test(broker) && !/^[^.]+-public\./.test(broker)) ||
  /^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.)[\d.]+(:|$)/.test(broker);

/** https://docs.aws.amazon.com/lambda/latest/api/API_ProvisionedPollerConfig.html */
const POLLERS = { min: 200, max: 2000 } as const;

/** What is wrong with the pollers of the settings. */
export function checkPollers({ kafka }: AwsSettings): readonly Problem[] {
  if (!kafka?.pollers) return [];
  const { min = 1, max } = kafka.pollers;
  const isWhole = [min, max].every((number) => Number.isInteger(number) && number >= 1);
  if (isWhole && min <= POLLERS.min && max <= POLLERS.max && min <= max) return [];
  return [
    {
      path: "aws.kafka.pollers",
      message: "outside what Lambda provides",
      given: `${min} to ${max}`,
      allowed: `whole numbers: min from 1 to ${POLLERS.min}, max from min to ${POLLERS.max}`,
    },
  ];
}

/** What the address of a link to a stream takes at most, with the JSON around it. */
export const streamBytes = ({ kafka }: { readonly kafka?: KafkaPlan }): number =>
  (kafka?.brokers.join(",").length ?? 0) + 249 + 200 + 190;
