import * as aws from "@pulumi/aws";
import type * as pulumi from "@pulumi/pulumi";
import type { Site } from "./shared.ts";

/** A network of the user's. */
export interface ExistingNetwork {
  /** In at least two availability zones, with a way out: a NAT gateway, or endpoints of all services that are used. */
  readonly subnets: readonly string[];
  /** What functions and containers belong to: they reach the services, and the mount targets of volumes. */
  readonly securityGroups: readonly string[];
  /** Whether containers get an address in the internet: needed in subnets whose way out is an internet gateway. @default no */
  readonly publicAddresses?: boolean;
}

/** Services with an endpoint that is paid by the hour. https://docs.aws.amazon.com/vpc/latest/privatelink/aws-services-privatelink-support.html */
export type EndpointService = "sqs" | "secretsmanager" | "lambda" | "states";

const NETWORK = "10.20.0.0/16";
/** One of each for each of the two zones. */
const PRIVATE = ["10.20.0.0/20", "10.20.16.0/20"] as const;
const PUBLIC = ["10.20.128.0/20", "10.20.144.0/20"] as const;
const NFS = 2049;
const HTTPS = 443;

/** Local zones have none of the services. https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeAvailabilityZones.html */
const REGULAR = { name: "zone-type", values: ["availability-zone"] };

/** Where something runs. */
export interface Placement {
  readonly subnets: readonly pulumi.Input<string>[];
  readonly securityGroups: readonly pulumi.Input<string>[];
  readonly publicIp: boolean;
}

/**
 * The network that functions with a volume, and containers, run in. What is made costs nothing by itself: functions are
 * in private subnets, from which S3 and DynamoDB are reached through gateways; containers are in public ones, with an
 * address of their own and nobody let in.
 *
 * @see https://docs.aws.amazon.com/vpc/latest/privatelink/gateway-endpoints.html
 */
export class Network {
  readonly #site: Site;

  constructor(site: Site) {
    this.#site = site;
  }

  /** Where functions run. */
  get functions(): Placement {
    const { network } = this.#site.settings.existing ?? {};
    if (network) return { ...network, publicIp: false };
    return { subnets: this.#private.map(({ id }) => id), securityGroups: [this.#group.id], publicIp: false };
  }

  /** Where containers run. */
  get containers(): Placement {
    const { network } = this.#site.settings.existing ?? {};
    if (network) return { ...network, publicIp: network.publicAddresses ?? false };
    return { subnets: this.#public.map(({ id }) => id), securityGroups: [this.#group.id], publicIp: true };
  }

  /** Where volumes are reached: once in each zone. */
  get volumes(): Placement {
    return this.functions;
  }

  get #vpc(): aws.ec2.Vpc {
    return this.#once("vpc", () =>
      this.#make(aws.ec2.Vpc, "", { cidrBlock: NETWORK, enableDnsSupport: true, enableDnsHostnames: true }),
    );
  }

  /** Whatever is in it reaches volumes and endpoints that are in it too, and nobody else reaches it. */
  get #group(): aws.ec2.SecurityGroup {
    return this.#once("group", () =>
      this.#make(aws.ec2.SecurityGroup, "-group", {
        description: "Functions, containers and volumes of Millrace",
        vpcId: this.#vpc.id,
        ingress: [NFS, HTTPS].map((port) => ({ protocol: "tcp", fromPort: port, toPort: port, self: true })),
        egress: [{ protocol: "-1", fromPort: 0, toPort: 0, cidrBlocks: ["0.0.0.0/0"] }],
      }),
    );
  }

  get #private(): readonly aws.ec2.Subnet[] {
    return this.#once("private", () => {
      const table = this.#make(aws.ec2.RouteTable, "-private", { vpcId: this.#vpc.id });
      const subnets = this.#subnets("private", PRIVATE, table);
      for (const service of ["s3", "dynamodb"]) {
        this.#make(aws.ec2.VpcEndpoint, `-${service}`, {
          vpcId: this.#vpc.id,
          serviceName: this.#service(service),
          vpcEndpointType: "Gateway",
          routeTableIds: [table.id],
        });
      }
      for (const service of this.#site.settings.network?.endpoints ?? []) {
        this.#make(aws.ec2.VpcEndpoint, `-${service}`, {
          vpcId: this.#vpc.id,
          serviceName: this.#service(service),
          vpcEndpointType: "Interface",
          privateDnsEnabled: true,
          subnetIds: subnets.map(({ id }) => id),
          securityGroupIds: [this.#group.id],
        });
      }
      return subnets;
    });
  }

  get #public(): readonly aws.ec2.Subnet[] {
    return this.#once("public", () => {
      const gateway = this.#make(aws.ec2.InternetGateway, "-gateway", { vpcId: this.#vpc.id });
      const table = this.#make(aws.ec2.RouteTable, "-public", {
        vpcId: this.#vpc.id,
        routes: [{ cidrBlock: "0.0.0.0/0", gatewayId: gateway.id }],
      });
      return this.#subnets("public", PUBLIC, table);
    });
  }

  #subnets(kind: "private" | "public", blocks: readonly string[], table: aws.ec2.RouteTable) {
    return blocks.map((cidrBlock, index) => {
      const args = { vpcId: this.#vpc.id, cidrBlock, ...this.#zoneOf(index) };
      // A zone that is new, or out of order, changes the provider's answer: subnets stay where they are.
      const options = this.#site.settings.zones ? {} : { ignoreChanges: ["availabilityZone"] };
      const subnet = this.#make(aws.ec2.Subnet, `-${kind}-${index + 1}`, args, options);
      const { name, site } = { name: `${this.#name}-${kind}-${index + 1}-route`, site: this.#site };
      const association = { subnetId: subnet.id, routeTableId: table.id };
      site.make(aws.ec2.RouteTableAssociation, name, association, site.shared);
      return subnet;
    });
  }

  /** Where a provider is asked that answers nothing, as in tests of programs, the service chooses. */
  #zoneOf(index: number): { readonly availabilityZone?: pulumi.Input<string | undefined> } {
    const { zones } = this.#site.settings;
    if (zones) return { availabilityZone: zones[index]! };
    const found = this.#once("zones", () =>
      aws.getAvailabilityZonesOutput({ state: "available", filters: [REGULAR] }, { provider: this.#site.provider }),
    );
    return { availabilityZone: found.apply(({ names }) => (names as readonly string[] | undefined)?.[index]) };
  }

  /** https://docs.amazonaws.cn/en_us/vpc/latest/privatelink/aws-services-privatelink-support.html */
  #service(service: string): string {
    const { region, partition } = this.#site;
    const isChinese = partition === "aws-cn" && ["sqs", "lambda", "states"].includes(service);
    return `${isChinese ? "cn." : ""}com.amazonaws.${region}.${service}`;
  }

  get #name(): string {
    return `${this.#site.name}-network`;
  }

  #make<Args extends object, Made extends pulumi.Resource>(
    type: Parameters<typeof Site.prototype.make<Args, Made>>[0],
    suffix: string,
    args: Args,
    options: pulumi.CustomResourceOptions = {},
  ): Made {
    const name = `${this.#name}${suffix}`;
    // Their names are shown from this tag.
    const tags = { ...this.#site.tags("network"), Name: name };
    return this.#site.make<Args, Made>(type, name, { ...args, tags }, { ...this.#site.shared, ...options });
  }

  #once<Value>(name: string, make: () => Value): Value {
    return this.#site.once(`network ${name}`, make);
  }
}
