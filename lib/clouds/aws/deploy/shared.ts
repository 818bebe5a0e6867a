import { relative } from "node:path";
import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { Archive } from "../../../bundle/archive.ts";
import type { ToolSource } from "../../../bundle/tool.ts";
import { BaseSite, type Transform } from "../../../parts/site.ts";
import type { NameRule } from "../../../shared/name.ts";
import { type EndpointService, type ExistingNetwork, Network } from "./network.ts";
import { privateBucket } from "./private-bucket.ts";

/** What a user has already, and what is then not made. Nothing of it is changed. */
export interface Existing {
  /** A bucket for code, layers and large payloads. */
  readonly artifacts?: string;
  /** The table of all tasks' runs, as one that a destroyed stack has left. */
  readonly taskTable?: string;
  /** Layer ARNs by tool, each with the tool in `bin/`. */
  readonly layers?: Readonly<Record<string, string>>;
  /** The network of functions that mount a volume or are linked to a stream, of containers, and of what reads a Kafka that is not MSK's. */
  readonly network?: ExistingNetwork;
  /** Your buckets, by name, that send their events to EventBridge already: they may start functions. */
  readonly notifying?: readonly string[];
}

/** Settings of {@link aws}. */
export interface AwsSettings {
  /** Such as `"eu-central-1"`. */
  readonly region: string;
  /** The account's number; nothing is then deployed to another one. @default the provider is asked */
  readonly account?: string;
  /** Your own provider, for this region. @default one of the cloud's own */
  readonly provider?: aws.Provider;
  readonly existing?: Existing;
  /** Where the tools of functions come from, by name. @default ffmpeg and ffprobe from npm; others are refused */
  readonly tools?: Readonly<Record<string, ToolSource>>;
  /** E-mail addresses that alarms go to; each has to be confirmed. `[]` makes no alarms but those that tell a queue or function. @default a monitor that tells nobody is refused */
  readonly alarmEmails?: readonly string[];
  /** The ARN of a topic of yours that alarms go to. @default none */
  readonly alarmTopic?: string;
  /** The network that is made for functions that mount a volume. */
  readonly network?: {
    /**
     * The services that they reach beside S3 and DynamoDB, each through an endpoint that is paid by the hour.
     *
     * @default none: functions that need one are refused
     */
    readonly endpoints?: readonly EndpointService[];
  };
  /** How the records of streams are brought to functions. */
  readonly kafka?: {
    /**
     * So many readers for each function and stream, which are paid by the hour: with them a batch is tried as often as
     * the function's `attempts` say, and halved where it fails.
     *
     * @default Lambda's own, free ones: a batch is tried 11 times where the function has `failures`, else until its
     * records expire
     */
    readonly pollers?: {
      /** Up to 200. @default 1 */
      readonly min?: number;
      /** Up to 2,000; no more of them work than there are partitions. */
      readonly max: number;
    };
  };
  /** Two availability zones of the region, for the network. @default the provider is asked */
  readonly zones?: readonly [string, string];
  /** The image of tasks that take longer than Lambda allows: a Node 24 for x86-64 with `sh`. @default Docker's own `node:24-slim`, from Amazon's public registry */
  readonly image?: string;
  /** Days that logs are kept; CloudWatch knows certain numbers only. @default 30 */
  readonly logDays?: number;
  readonly transform?: Transform;
}

/** What functions and containers mount. */
export interface MountedVolume {
  /** `fs-…`. */
  readonly fileSystem: pulumi.Output<string>;
  /** `fsap-…`. */
  readonly accessPoint: pulumi.Output<string>;
  /** What has to be there before anything is mounted. */
  readonly targets: readonly pulumi.Resource[];
}

/** Those that are partitions of their own: how their regions begin, and their services' host names end. https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html */
const PARTITIONS = [
  { regions: "cn-", partition: "aws-cn", domain: "amazonaws.com.cn" },
  { regions: "us-gov-", partition: "aws-us-gov", domain: "amazonaws.com" },
  { regions: "eusc-", partition: "aws-eusc", domain: "amazonaws.eu" },
] as const;

/** The partition that a region is in. */
export const partitionOf = (region: string) =>
  PARTITIONS.find(({ regions }) => region.startsWith(regions)) ?? { partition: "aws", domain: "amazonaws.com" };

/** One account and region: how its resources are made, and what all of them share, each made when first asked for. */
export class Site extends BaseSite<AwsSettings> {
  /** By the part's name, once it is built. */
  readonly volumes = new Map<string, MountedVolume>();

  get region(): string {
    return this.settings.region;
  }

  get partition(): string {
    return partitionOf(this.region).partition;
  }

  /** The end of the services' host names. */
  get domain(): string {
    return partitionOf(this.region).domain;
  }

  get account(): pulumi.Output<string> {
    return this.once("account", () =>
      this.settings.account !== undefined
        ? pulumi.output(this.settings.account)
        : aws.getCallerIdentityOutput({}, { provider: this.provider }).accountId,
    );
  }

  get provider(): aws.Provider {
    const { provider, account } = this.settings;
    return (
      provider ??
      this.once(
        "provider",
        () =>
          new aws.Provider(
            this.name,
            { region: this.region as aws.Region, ...(account !== undefined && { allowedAccountIds: [account] }) },
            this.shared,
          ),
      )
    );
  }

  protected providerOf(): aws.Provider {
    return this.provider;
  }

  /** The logical names of what is shared begin so. */
  get name(): string {
    return `aws-${this.region}`;
  }

  /** `arn:<partition>:<service>:<region>:<account>:<resource>`. */
  arn(service: string, resource: pulumi.Input<string>): pulumi.Output<string> {
    return pulumi.interpolate`arn:${this.partition}:${service}:${this.region}:${this.account}:${resource}`;
  }

  /** ARNs of a volume's file system and access point. */
  volumeArns({ fileSystem, accessPoint }: MountedVolume) {
    return {
      fileSystem: this.arn("elasticfilesystem", pulumi.interpolate`file-system/${fileSystem}`),
      accessPoint: this.arn("elasticfilesystem", pulumi.interpolate`access-point/${accessPoint}`),
    };
  }

  /** A bucket's: other accounts have their names beside it. */
  bucketName(stem: string): pulumi.Output<string> {
    return this.nameIn(this.account, stem, BUCKET_NAME);
  }

  /** The bucket for code, layers and large payloads of tasks. */
  get artifacts(): pulumi.Output<string> {
    return this.once("artifacts", () => {
      const { artifacts } = this.settings.existing ?? {};
      if (artifacts !== undefined) return pulumi.output(artifacts);
      const name = `${this.name}-artifacts`;
      const wanted = { bucket: this.bucketName(name), part: "artifacts", forceDestroy: true };
      const { bucket, access, encryption } = privateBucket(this, name, wanted, this.shared);
      // Nothing is put there before it is guarded.
      return pulumi.all([bucket.bucket, access.id, encryption.id]).apply(([name]) => name);
    });
  }

  /**
   * An archive as an object whose key is its content's hash.
   *
   * @param folder nobody else's: an object that two resources had would be gone with the first of them
   */
  upload(archive: Promise<Archive>, folder: string, name: string, options: pulumi.CustomResourceOptions) {
    return this.make(
      aws.s3.BucketObjectv2,
      name,
      {
        bucket: this.artifacts,
        key: pulumi.output(archive).apply(({ hash }) => `${folder}/${hash}.zip`),
        // Relative, so that the same program has the same state on every machine.
        source: new pulumi.asset.FileAsset(archive.then(({ file }) => relative(process.cwd(), file))),
        contentType: "application/zip",
      },
      options,
    );
  }

  /** Where one function, container or state machine logs: made before it, so that it does not make one of its own that keeps all. */
  logGroup(
    name: string,
    physical: string,
    part: string,
    options: pulumi.CustomResourceOptions,
  ): aws.cloudwatch.LogGroup {
    return this.make(
      aws.cloudwatch.LogGroup,
      name,
      { name: physical, retentionInDays: this.settings.logDays ?? 30, tags: this.tags(part) },
      options,
    );
  }

  /** The table of all tasks' runs. */
  get taskTable(): pulumi.Output<string> {
    return this.once("task table", () => {
      const { taskTable } = this.settings.existing ?? {};
      if (taskTable !== undefined) return pulumi.output(taskTable);
      const name = `${this.name}-tasks`;
      const args = { ...tableArgs(this.physicalName(name, TABLE_NAME)), tags: this.tags("tasks") };
      return this.make(aws.dynamodb.Table, name, args, { ...this.shared, retainOnDelete: true }).name;
    });
  }

  /** The layer with a tool in `bin/`, by its ARN. */
  layer(tool: string, archive: () => Promise<Archive>): pulumi.Output<string> {
    return this.once(`layer ${tool}`, () => {
      const existing = this.settings.existing?.layers?.[tool];
      if (existing !== undefined) return pulumi.output(existing);
      const object = this.tool(tool, archive);
      return this.make(
        aws.lambda.LayerVersion,
        `${this.name}-layer-${tool}`,
        {
          layerName: this.physicalName(`layer-${tool}`, LAYER_NAME),
          s3Bucket: object.bucket,
          s3Key: object.key,
          compatibleRuntimes: [RUNTIME],
          compatibleArchitectures: ["x86_64"],
        },
        this.shared,
      ).arn;
    });
  }

  /** The object with a tool in `bin/`. */
  tool(tool: string, archive: () => Promise<Archive>): aws.s3.BucketObjectv2 {
    return this.once(`tool ${tool}`, () =>
      this.upload(
        archive(),
        `layers/${this.physicalName(`layer-${tool}`, LAYER_NAME)}`,
        `${this.name}-layer-${tool}-code`,
        this.shared,
      ),
    );
  }

  /** Where containers run, by its name. */
  get cluster(): pulumi.Output<string> {
    return this.once("cluster", () => {
      const name = this.physicalName(this.name, CLUSTER_NAME);
      const args = { name, tags: this.tags("cluster") };
      return this.make(aws.ecs.Cluster, `${this.name}-cluster`, args, this.shared).name;
    });
  }

  /** The network of functions that mount a volume, and of containers. */
  get network(): Network {
    return this.once("network", () => new Network(this));
  }
}

/** What functions run on. https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html */
export const RUNTIME = "nodejs24.x";

/** A table of rows by partition and sort key, encrypted as all of them are. Rows that have expired are not read; the service removes them in its own time. */
export const tableArgs = (name: string) => ({
  name,
  billingMode: "PAY_PER_REQUEST",
  hashKey: "pk",
  rangeKey: "sk",
  attributes: [
    { name: "pk", type: "S" },
    { name: "sk", type: "S" },
  ],
  ttl: { attributeName: "ttl", enabled: true },
  pointInTimeRecovery: { enabled: true },
});

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html */
const BUCKET_NAME: NameRule = { max: 63, allowed: /[a-z0-9-]/, lowerCase: true };
/** https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html */
export const TABLE_NAME: NameRule = { max: 255, allowed: /[A-Za-z0-9_.-]/ };
/** https://docs.aws.amazon.com/lambda/latest/api/API_PublishLayerVersion.html */
const LAYER_NAME: NameRule = { max: 140, allowed: /[A-Za-z0-9_-]/ };
/** https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateCluster.html */
const CLUSTER_NAME: NameRule = { max: 255, allowed: /[A-Za-z0-9_-]/ };
