import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { relative } from "node:path";
import * as aws from "@pulumi/aws";
import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { Archive } from "../../../bundle/archive.ts";
import { bootstrapScript } from "../../../bundle/bootstrap.ts";
import type { ToolSource } from "../../../bundle/tool.ts";
import { BaseSite, type Transform } from "../../../parts/site.ts";
import { shortHash } from "../../../shared/name.ts";
import type { Size } from "../../../shared/size.ts";
import { BUCKET_NAME, labelValue, NATS_NAME, OBJECT_NAME } from "./names.ts";
import { isolate, type NetworkSettings } from "./network.ts";

/** What a user has already, and what is then not made. Nothing of it is changed. */
export interface Existing {
  /** A namespace, which may hold other things too. It has to allow what its pod security admits as `restricted`. */
  readonly namespace?: string;
  /** A bucket of the store for code, tools and large payloads. */
  readonly artifacts?: string;
}

/** NATS with JetStream: it carries calls, queues and tables. */
export interface NatsSettings {
  /** As pods reach it: `"nats://nats.nats.svc.cluster.local:4222"`. */
  readonly url: string;
  /**
   * `host:port` of its monitoring, as KEDA reaches it. Of servers in a cluster KEDA asks each, by its name before that
   * host: it is their headless service, `"nats-headless.nats.svc.cluster.local:8222"` where NATS' own chart made it.
   * https://github.com/kedacore/keda/blob/main/pkg/scalers/nats_jetstream_scaler.go
   *
   * @default port 8222 of the url's host; to be said where there are copies
   */
  readonly monitoring?: string;
  /** The account the monitoring is asked about. @default "$G", the one there is without accounts */
  readonly account?: string;
  /** Who pods say they are. Whoever may speak with NATS may do all that any pod of the stack does there. @default NATS asks for nothing */
  readonly keys?:
    | { readonly user: pulumi.Input<string>; readonly password: pulumi.Input<string> }
    | { readonly token: pulumi.Input<string> };
  /** A Secret of the namespace with `user` and `password`, or `token`. @default one is made of `keys` */
  readonly secret?: string;
  /** Servers that keep a copy of every stream and table. @default 1 */
  readonly replicas?: 1 | 3 | 5;
}

/** A store of buckets that speaks as S3 does. */
export interface StoreSettings {
  /** As this program reaches it, and pods too unless `insideEndpoint` says otherwise: `"https://s3.example.com"`. */
  readonly endpoint: string;
  /** As pods reach it: `"http://minio.minio.svc.cluster.local:9000"`. @default the endpoint */
  readonly insideEndpoint?: string;
  /** @default "us-east-1" */
  readonly region?: string;
  /**
   * The keys that buckets and code are made with, and that pods have unless `secret` names others.
   *
   * @default AWS's own ways to find keys: environment, profile
   */
  readonly keys?: { readonly accessKey: pulumi.Input<string>; readonly secretKey: pulumi.Input<string> };
  /** A Secret of the namespace with `accessKey` and `secretKey`, for pods. @default one is made of `keys` */
  readonly secret?: string;
  /** The subject of NATS that the store publishes its notifications on. @default buckets are listed once a minute */
  readonly notifications?: { readonly subject: string };
  /** Whether the store keeps lifecycle rules. @default true */
  readonly lifecycle?: boolean;
}

/** Settings of {@link kubernetes}. */
export interface KubernetesSettings {
  readonly nats: NatsSettings;
  readonly store: StoreSettings;
  /** A name of yours for the cluster, where a program has several. */
  readonly cluster?: string;
  /** Your own provider, for this cluster. @default one of the cloud's own, which finds the cluster as kubectl does */
  readonly provider?: kubernetes.Provider;
  /** What to call the namespace that is made. @default project and stack, with a hash */
  readonly namespace?: string;
  readonly existing?: Existing;
  /** The image all pods run, with Node 24 as `node`; best by its digest. @default "docker.io/library/node:24-slim" */
  readonly image?: string;
  /** The image Python functions run in, with Python 3.13 as `python3`. @default "docker.io/library/python:3.13-slim" */
  readonly pythonImage?: string;
  /** Secrets of the namespace with which images are pulled. @default registries ask for none */
  readonly pullSecrets?: readonly string[];
  /** The storage class of volumes; it has to allow many writers (ReadWriteMany). @default new volumes are refused */
  readonly storageClass?: string;
  /** How large a new volume is. @default "100 GB" */
  readonly volumeSize?: Size;
  /** Where the tools of functions come from, by name. @default ffmpeg and ffprobe from npm; others are refused */
  readonly tools?: Readonly<Record<string, ToolSource>>;
  /** The LocalQueue of Kueue that admits the Jobs of tasks. @default Jobs start at once */
  readonly kueue?: { readonly queue: string };
  /**
   * Who keeps alarms: rules for a Prometheus run by its operator, or nobody.
   *
   * @default a monitor with alarms is refused
   */
  readonly alarms?: "prometheus-operator" | "none";
  /** Where pods may connect to. @default DNS, NATS and the store, by their urls, and the API server for keepers */
  readonly network?: NetworkSettings;
  readonly transform?: Transform;
}

/** Something a pod fetches before it starts, from the artifact bucket. */
export interface Artifact {
  readonly object: aws.s3.BucketObjectv2;
  readonly key: pulumi.Output<string>;
  /** Of the archive's bytes, 64 hexadecimal digits. */
  readonly sha256: pulumi.Output<string>;
}

/** One stack's namespace: how its resources are made, and what all of them share, each made when first asked for. */
export class Site extends BaseSite<KubernetesSettings> {
  #isIsolated = false;

  protected providerOf(type: string): pulumi.ProviderResource {
    return type.startsWith("aws:") ? this.storeProvider : this.provider;
  }

  /** The logical names of what is shared begin so. */
  get name(): string {
    return this.settings.cluster === undefined ? "kubernetes" : `kubernetes-${this.settings.cluster}`;
  }

  get provider(): kubernetes.Provider {
    return (
      this.settings.provider ??
      this.once(
        "provider",
        () =>
          new kubernetes.Provider(
            this.name,
            // Another value is another value of the same Secret: what mounts it goes on.
            { enableServerSideApply: true, enableSecretMutable: true, enableConfigMapMutable: true },
            this.shared,
          ),
      )
    );
  }

  /** Speaks with the store, of which only S3 is there. */
  get storeProvider(): aws.Provider {
    return this.once("store provider", () => {
      const { endpoint, keys } = this.settings.store;
      return new aws.Provider(
        `${this.name}-store`,
        {
          region: this.region as aws.Region,
          ...(keys && { accessKey: pulumi.secret(keys.accessKey), secretKey: pulumi.secret(keys.secretKey) }),
          endpoints: [{ s3: endpoint }],
          s3UsePathStyle: true,
          skipCredentialsValidation: true,
          skipRequestingAccountId: true,
          skipMetadataApiCheck: true,
          skipRegionValidation: true,
        },
        this.shared,
      );
    });
  }

  /** The store's region, in its own words. */
  get region(): string {
    return this.settings.store.region ?? "us-east-1";
  }

  /** The store as pods reach it. */
  get endpoint(): string {
    const { insideEndpoint, endpoint } = this.settings.store;
    return insideEndpoint ?? endpoint;
  }

  /** What everything of the stack on NATS begins with. */
  get prefix(): string {
    return this.physicalName(`${pulumi.getProject()}-${pulumi.getStack()}`, NATS_NAME);
  }

  /** The stream that all calls of the stack go through. */
  get calls(): string {
    return `${this.prefix}-calls`;
  }

  /** Makes an object of a kind that is not Kubernetes' own. */
  custom(
    args: kubernetes.apiextensions.CustomResourceArgs,
    name: string,
    options: pulumi.CustomResourceOptions,
  ): kubernetes.apiextensions.CustomResource {
    const changed = this.transformed(`kubernetes:${args.apiVersion}:${args.kind}`, name, args, options);
    return new kubernetes.apiextensions.CustomResource(name, changed.args, changed.options);
  }

  /** What an object is called, where it is, and what it is labelled with. */
  metadata(
    name: pulumi.Input<string>,
    part: string,
    more: { readonly labels?: Readonly<Record<string, string>>; readonly annotations?: Record<string, string> } = {},
  ) {
    const { labels, annotations } = more;
    return {
      name,
      namespace: this.namespace,
      labels: { ...this.labels(part), ...labels },
      ...(annotations && { annotations }),
    };
  }

  /** https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/ */
  labels(part: string): Record<string, string> {
    return {
      "app.kubernetes.io/name": labelValue(part),
      "app.kubernetes.io/part-of": this.prefix,
      "app.kubernetes.io/managed-by": "millrace",
      "millrace/part": labelValue(part),
    };
  }

  /**
   * Chooses the pods of one Deployment, by its own name: what chooses them cannot be changed, and a part's name can, where
   * its construct keeps its `id`.
   */
  selector(deployment: string): Record<string, string> {
    return { "app.kubernetes.io/part-of": this.prefix, "app.kubernetes.io/instance": deployment };
  }

  /** The stack's namespace; what is in it is cut off from all it has no business with. */
  get namespace(): pulumi.Output<string> {
    const name = this.once("namespace", () => this.#namespace());
    // The policies lie in it themselves.
    if (!this.#isIsolated) {
      this.#isIsolated = true;
      isolate(this);
    }
    return name;
  }

  #namespace(): pulumi.Output<string> {
    const { existing, namespace } = this.settings;
    if (existing?.namespace !== undefined) return pulumi.output(existing.namespace);
    const made = this.make(
      kubernetes.core.v1.Namespace,
      `${this.name}-namespace`,
      {
        metadata: {
          name: namespace ?? this.physicalName(`${pulumi.getProject()}-${pulumi.getStack()}`, OBJECT_NAME),
          labels: { ...this.labels("namespace"), ...RESTRICTED },
        },
      },
      this.shared,
    );
    return made.metadata.name;
  }

  /** The Secret that pods have the store's keys from. */
  get storeSecret(): pulumi.Output<string> {
    return this.once("store secret", () => {
      const { secret, keys } = this.settings.store;
      if (secret !== undefined || !keys) return pulumi.output(secret ?? "");
      const made = this.make(
        kubernetes.core.v1.Secret,
        `${this.name}-store-keys`,
        {
          metadata: this.metadata(this.physicalName(`${this.name}-store-keys`, OBJECT_NAME), "store-keys"),
          type: "Opaque",
          stringData: { accessKey: pulumi.secret(keys.accessKey), secretKey: pulumi.secret(keys.secretKey) },
        },
        this.shared,
      );
      return made.metadata.name;
    });
  }

  /** The Secret that pods have their keys of NATS from; nothing if it asks for none. */
  get natsSecret(): pulumi.Output<string> | undefined {
    const { secret, keys } = this.settings.nats;
    if (secret !== undefined) return pulumi.output(secret);
    if (!keys) return undefined;
    return this.once("nats secret", () => {
      const made = this.make(
        kubernetes.core.v1.Secret,
        `${this.name}-nats-keys`,
        {
          metadata: this.metadata(this.physicalName(`${this.name}-nats-keys`, OBJECT_NAME), "nats-keys"),
          type: "Opaque",
          stringData: Object.fromEntries(Object.entries(keys).map(([name, value]) => [name, pulumi.secret(value)])),
        },
        this.shared,
      );
      return made.metadata.name;
    });
  }

  /** The script that every pod begins with; a changed one is another ConfigMap, and so another pod. */
  get bootstrap(): pulumi.Output<string> {
    return this.once("bootstrap", () => {
      const script = pulumi.output(bootstrapScript());
      const stem = this.physicalName(`${this.name}-bootstrap`, { ...OBJECT_NAME, max: 50 });
      const made = this.make(
        kubernetes.core.v1.ConfigMap,
        `${this.name}-bootstrap`,
        {
          metadata: this.metadata(pulumi.interpolate`${stem}-${script.apply((text) => shortHash(text))}`, "bootstrap"),
          immutable: true,
          data: { [BOOTSTRAP_FILE]: script },
        },
        this.shared,
      );
      return made.metadata.name;
    });
  }

  /** The bucket for code, tools and large payloads of tasks. */
  get artifacts(): pulumi.Output<string> {
    return this.once("artifacts", () => {
      const { artifacts } = this.settings.existing ?? {};
      if (artifacts !== undefined) return pulumi.output(artifacts);
      const name = `${this.name}-artifacts`;
      const bucket = this.make(
        aws.s3.Bucket,
        name,
        { bucket: this.physicalName(name, BUCKET_NAME), forceDestroy: true, tags: this.tags("artifacts") },
        this.shared,
      );
      this.lifecycle(name, bucket, [], this.shared);
      return bucket.bucket;
    });
  }

  /** Parts of uploads that never came to their end cost as objects do. */
  lifecycle(
    name: string,
    { bucket }: aws.s3.Bucket,
    more: readonly aws.types.input.s3.BucketLifecycleConfigurationRule[],
    options: pulumi.CustomResourceOptions,
  ): aws.s3.BucketLifecycleConfiguration | undefined {
    if (this.settings.store.lifecycle === false) return undefined;
    const abort = {
      id: "abort-incomplete-uploads",
      status: "Enabled",
      filter: { prefix: "" },
      abortIncompleteMultipartUpload: { daysAfterInitiation: 1 },
    };
    return this.make(
      aws.s3.BucketLifecycleConfiguration,
      `${name}-lifecycle`,
      { bucket, rules: [abort, ...more] },
      options,
    );
  }

  /**
   * An archive as an object whose key is its content's hash.
   *
   * @param folder nobody else's: an object that two resources had would be gone with the first of them
   */
  upload(archive: Promise<Archive>, folder: string, name: string, options: pulumi.CustomResourceOptions): Artifact {
    const file = pulumi.output(archive);
    const object = this.make(
      aws.s3.BucketObjectv2,
      name,
      {
        bucket: this.artifacts,
        key: file.apply(({ hash }) => `${folder}/${hash}.zip`),
        // Relative, so that the same program has the same state on every machine.
        source: file.apply(({ file }) => new pulumi.asset.FileAsset(relative(process.cwd(), file))),
        contentType: "application/zip",
      },
      options,
    );
    const sha256 = file.apply(async ({ file }) =>
      createHash("sha256")
        .update(await readFile(file))
        .digest("hex"),
    );
    return { object, key: object.key, sha256 };
  }

  /** Of what all share; other stacks have other ones, in the same bucket too. */
  #folder(kind: "code" | "tools", name: string): string {
    return `${kind}/${this.physicalName(`${this.name}-${name}`, OBJECT_NAME)}`;
  }

  /** A tool as an object with `bin/<tool>` in it. */
  tool(name: string, archive: () => Promise<Archive>): Artifact {
    return this.once(`tool ${name}`, () =>
      this.upload(archive(), this.#folder("tools", name), `${this.name}-tool-${name}`, this.shared),
    );
  }

  /** Code that many pods run, put once. */
  errand(name: string, archive: () => Promise<Archive>): Artifact {
    return this.once(`errand ${name}`, () =>
      this.upload(archive(), this.#folder("code", name), `${this.name}-${name}-code`, this.shared),
    );
  }

  /** Who pods are that only set things up: somebody without any right. */
  get setupAccount(): pulumi.Output<string> {
    return this.once("setup account", () => this.account(`${this.name}-setup`, "setup", this.shared));
  }

  /** A ServiceAccount, whose token goes into no pod by itself. */
  account(
    name: string,
    part: string,
    options: pulumi.CustomResourceOptions,
    physical = this.physicalName(name, OBJECT_NAME),
  ): pulumi.Output<string> {
    return this.make(
      kubernetes.core.v1.ServiceAccount,
      `${name}-account`,
      { metadata: this.metadata(physical, part), automountServiceAccountToken: false },
      options,
    ).metadata.name;
  }
}

/** The name of the script in its ConfigMap. */
export const BOOTSTRAP_FILE = "bootstrap.mjs";

/** https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted */
const RESTRICTED = {
  "pod-security.kubernetes.io/enforce": "restricted",
  "pod-security.kubernetes.io/warn": "restricted",
};
