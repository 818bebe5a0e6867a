import { relative } from "node:path";
import * as alicloud from "@pulumi/alicloud";
import * as pulumi from "@pulumi/pulumi";
import type { Archive } from "../../../bundle/archive.ts";
import type { ToolSource } from "../../../bundle/tool.ts";
import { BaseSite, type Transform } from "../../../parts/site.ts";
import type { NameRule } from "../../../shared/name.ts";
import { LOG_DIVIDERS } from "../env.ts";

/** What a user has already, and what is then not made. Nothing of it is changed. */
export interface Existing {
  /** A bucket for code, layers and large payloads. */
  readonly artifacts?: string;
  /** Where functions log. */
  readonly logs?: { readonly project: string; readonly store: string };
  /** A Tablestore instance. */
  readonly tables?: string;
  /** Layer ARNs by tool, each with the tool in `bin/`. */
  readonly layers?: Readonly<Record<string, string>>;
  /** The network of functions that mount a volume, or are linked to a stream: where its Kafka is reached. */
  readonly network?: { readonly vpc: string; readonly vswitch: string; readonly securityGroup: string };
}

/** Settings of {@link alicloud}. */
export interface AlicloudSettings {
  /** Such as `"cn-hangzhou"`. */
  readonly region: string;
  /** The account's number. @default the provider is asked */
  readonly account?: string;
  /** Your own provider, for this region. @default one of the cloud's own */
  readonly provider?: alicloud.Provider;
  readonly existing?: Existing;
  /** Where the tools of functions come from, by name. @default ffmpeg and ffprobe from npm; others are refused */
  readonly tools?: Readonly<Record<string, ToolSource>>;
  /**
   * The contact groups that alarms go to, as they are named in CloudMonitor; `[]` makes no alarms.
   *
   * @default a monitor with alarms is refused
   */
  readonly contactGroups?: readonly string[];
  /** The KMS instance that new secrets are put into: it is bought, never made. @default new secrets are refused */
  readonly kmsInstance?: { readonly id: string; readonly key: string };
  /** Days that logs are kept. @default 30 */
  readonly logDays?: number;
  readonly transform?: Transform;
}

/** One account and region: how its resources are made, and what all of them share, each made when first asked for. */
export class Site extends BaseSite<AlicloudSettings> {
  get region(): string {
    return this.settings.region;
  }

  get account(): pulumi.Output<string> {
    return this.once("account", () =>
      this.settings.account !== undefined
        ? pulumi.output(this.settings.account)
        : alicloud.getAccountOutput({ provider: this.provider }).id,
    );
  }

  get provider(): alicloud.Provider {
    return (
      this.settings.provider ??
      this.once("provider", () => new alicloud.Provider(this.name, { region: this.region }, this.shared))
    );
  }

  protected providerOf(): alicloud.Provider {
    return this.provider;
  }

  /** The logical names of what is shared begin so. */
  get name(): string {
    return `alicloud-${this.region}`;
  }

  /** `acs:<service>:<region>:<account>:<resource>`. */
  arn(service: string, resource: pulumi.Input<string>): pulumi.Output<string> {
    return pulumi.interpolate`acs:${service}:${this.region}:${this.account}:${resource}`;
  }

  /**
   * A name that other accounts have theirs beside.
   *
   * @param stem of what each region has: with the region in it
   */
  worldName(stem: string, rule: NameRule): pulumi.Output<string> {
    return this.nameIn(this.account, stem, rule);
  }

  /** The bucket for code, layers and large payloads of tasks. */
  get artifacts(): pulumi.Output<string> {
    return this.once("artifacts", () => {
      const { artifacts } = this.settings.existing ?? {};
      if (artifacts !== undefined) return pulumi.output(artifacts);
      const bucket = this.make(
        alicloud.oss.Bucket,
        `${this.name}-artifacts`,
        {
          bucket: this.worldName(`${this.name}-artifacts`, BUCKET_NAME),
          serverSideEncryptionRule: { sseAlgorithm: "AES256" },
          lifecycleRules: [abortUploads()],
          forceDestroy: true,
          tags: this.tags("artifacts"),
        },
        this.shared,
      );
      return bucket.bucket.apply((name) => name!);
    });
  }

  /**
   * An archive as an object whose key is its content's hash.
   *
   * @param folder nobody else's: an object that two resources had would be gone with the first of them
   */
  upload(archive: Promise<Archive>, folder: string, name: string, options: pulumi.CustomResourceOptions) {
    const file = pulumi.output(archive);
    return this.make(
      alicloud.oss.BucketObject,
      name,
      {
        bucket: this.artifacts,
        key: file.apply(({ hash }) => `${folder}/${hash}.zip`),
        // Relative, so that the same program has the same state on every machine.
        source: file.apply(({ file }) => relative(process.cwd(), file)),
        contentType: "application/zip",
      },
      options,
    );
  }

  /** Where functions log. */
  get logs(): { readonly project: pulumi.Output<string>; readonly store: pulumi.Output<string> } {
    return this.once("logs", () => {
      const { logs } = this.settings.existing ?? {};
      if (logs) return { project: pulumi.output(logs.project), store: pulumi.output(logs.store) };
      const project = this.make(
        alicloud.log.Project,
        `${this.name}-logs`,
        { projectName: this.worldName(`${this.name}-logs`, PROJECT_NAME), tags: this.tags("logs") },
        this.shared,
      );
      const store = this.make(
        alicloud.log.Store,
        `${this.name}-logs-functions`,
        {
          projectName: project.projectName,
          logstoreName: "functions",
          retentionPeriod: this.settings.logDays ?? 30,
          shardCount: 2,
          autoSplit: true,
          maxSplitShardCount: 64,
        },
        this.shared,
      );
      const index = this.make(
        alicloud.log.StoreIndex,
        `${this.name}-logs-functions-index`,
        {
          project: project.projectName,
          logstore: store.logstoreName,
          fullText: { caseSensitive: false, includeChinese: true, token: LOG_DIVIDERS },
        },
        this.shared,
      );
      // Without its index a store cannot be searched: whoever uses it waits for that too.
      return {
        project: project.projectName,
        store: pulumi.all([store.logstoreName, index.id]).apply(([name]) => name),
      };
    });
  }

  /** The Tablestore instance, by its name. */
  get tables(): pulumi.Output<string> {
    return this.once("tables", () => {
      const { tables } = this.settings.existing ?? {};
      if (tables !== undefined) return pulumi.output(tables);
      const instance = this.make(
        alicloud.ots.Instance,
        `${this.name}-tables`,
        { name: this.worldName(`tables-${this.region}`, INSTANCE_NAME), tags: this.tags("tables") },
        // Tables are kept on destroy, and they lie in here.
        { ...this.shared, retainOnDelete: true },
      );
      return instance.name;
    });
  }

  /** The table of all tasks' runs. */
  get taskTable(): pulumi.Output<string> {
    return this.once("task table", () => {
      const name = this.physicalName(`${this.name}-tasks`, TABLE_NAME).replaceAll("-", "_");
      return this.make(alicloud.ots.Table, `${this.name}-tasks`, tableArgs(this.tables, name), {
        ...this.shared,
        retainOnDelete: true,
      }).tableName;
    });
  }

  /** The layer with a tool in `bin/`, by its ARN. */
  layer(tool: string, archive: () => Promise<Archive>): pulumi.Output<string> {
    return this.once(`layer ${tool}`, () => {
      const existing = this.settings.existing?.layers?.[tool];
      if (existing !== undefined) return pulumi.output(existing);
      const object = this.upload(
        archive(),
        `layers/${this.physicalName(`layer-${tool}`, LAYER_NAME)}`,
        `${this.name}-layer-${tool}-code`,
        this.shared,
      );
      return this.make(
        alicloud.fc.V3LayerVersion,
        `${this.name}-layer-${tool}`,
        {
          layerName: this.physicalName(`layer-${tool}`, LAYER_NAME),
          code: { ossBucketName: object.bucket, ossObjectName: object.key },
          compatibleRuntimes: ["nodejs20"],
        },
        this.shared,
      ).layerVersionArn;
    });
  }

  /** The network of functions that mount a volume; a volume needs one. */
  get network() {
    return this.once("network", () => {
      const { network } = this.settings.existing ?? {};
      if (network) return { ...network, cidr: undefined };
      const vpc = this.make(
        alicloud.vpc.Network,
        `${this.name}-network`,
        {
          vpcName: this.physicalName(`${this.name}-network`, VPC_NAME),
          cidrBlock: NETWORK,
          tags: this.tags("network"),
        },
        this.shared,
      );
      // Function Compute is not in every zone. https://www.alibabacloud.com/help/en/functioncompute/vswitch-is-in-unsupported-zone
      const { zones } = alicloud.fc.getZonesOutput({}, { provider: this.provider });
      const vswitch = this.make(
        alicloud.vpc.Switch,
        `${this.name}-network-switch`,
        {
          vpcId: vpc.id,
          cidrBlock: NETWORK,
          zoneId: zones.apply((known) => known[0]!.id),
          tags: this.tags("network"),
        },
        // The first zone may be another one tomorrow: what is there stays where it is.
        { ...this.shared, ignoreChanges: ["zoneId"] },
      );
      const group = this.make(
        alicloud.ecs.SecurityGroup,
        `${this.name}-network-group`,
        {
          securityGroupName: this.physicalName(`${this.name}-network`, VPC_NAME),
          vpcId: vpc.id,
          tags: this.tags("network"),
        },
        this.shared,
      );
      return { vpc: vpc.id, vswitch: vswitch.id, securityGroup: group.id, cidr: NETWORK };
    });
  }

  /** The network's mount target of a volume that nobody writes through; made when first asked for. */
  readOnlyMount(volume: string, make: () => pulumi.Output<string>): pulumi.Output<string> {
    return this.once(`read-only mount of ${volume}`, make);
  }
}

/** Parts of uploads that never came to their end cost as objects do. */
export const abortUploads = () => ({
  id: "abort-incomplete-uploads",
  enabled: true,
  prefix: "",
  abortMultipartUploads: [{ days: 1 }],
});

/** A table of rows by partition and sort key. */
export const tableArgs = (instanceName: pulumi.Input<string>, tableName: pulumi.Input<string>) => ({
  instanceName,
  tableName,
  primaryKeys: [
    { name: "partition", type: "String" },
    { name: "sort", type: "String" },
  ],
  // Rows that expire are removed by their writers; the service's own time to live is of the whole table.
  timeToLive: -1,
  maxVersion: 1,
});

const NETWORK = "10.20.0.0/16";

/** https://www.alibabacloud.com/help/en/oss/user-guide/bucket-naming-conventions */
export const BUCKET_NAME: NameRule = { max: 63, allowed: /[a-z0-9-]/, lowerCase: true };
/** https://www.alibabacloud.com/help/en/sls/developer-reference/api-sls-2020-12-30-createproject */
const PROJECT_NAME: NameRule = { max: 63, allowed: /[a-z0-9-]/, lowerCase: true };
/** https://www.alibabacloud.com/help/en/tablestore/product-overview/instance */
const INSTANCE_NAME: NameRule = { max: 16, allowed: /[A-Za-z0-9-]/ };
/** Hyphens become `_` afterwards. https://www.alibabacloud.com/help/en/tablestore/product-overview/naming-conventions-and-data-types */
export const TABLE_NAME: NameRule = { max: 255, allowed: /[A-Za-z0-9]/ };
/** https://www.alibabacloud.com/help/en/functioncompute/developer-reference/api-fc-2023-03-30-createlayerversion */
const LAYER_NAME: NameRule = { max: 64, allowed: /[A-Za-z0-9_-]/ };
/** https://www.alibabacloud.com/help/en/vpc/developer-reference/api-vpc-2016-04-28-createvpc */
const VPC_NAME: NameRule = { max: 128, allowed: /[A-Za-z0-9_-]/ };
