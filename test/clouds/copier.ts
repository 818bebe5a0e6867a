import {
  all,
  type Bucket,
  type Cloud,
  Construct,
  code,
  read,
  remove,
  type Secret,
  write,
} from "../../lib/parts/index.ts";

/** A bucket for others. */
export class Store extends Construct {
  readonly files: Bucket;

  constructor(name: string, cloud: Cloud, existing?: string) {
    super("Store", name, { cloud });
    this.files = this.bucket("files", existing === undefined ? {} : { existing });
    this.build();
  }
}

/** Keys for others. */
export class Keys extends Construct {
  readonly first: Secret;
  readonly second: Secret;

  constructor(name: string, cloud: Cloud) {
    super("Keys", name, { cloud });
    this.first = this.secret("first", { existing: "first-keys" });
    this.second = this.secret("second", { existing: "second-keys" });
    this.build();
  }
}

interface CopierArgs {
  readonly cloud: Cloud;
  readonly from: Bucket;
  readonly to: Bucket;
  /** To the one and the other. @default its role */
  readonly keys?: { readonly from?: Secret; readonly to?: Secret };
}

/** A function that moves objects between two buckets, which may be anywhere. */
export class Copier extends Construct {
  constructor(name: string, { cloud, from, to, keys = {} }: CopierArgs) {
    super("Copier", name, { cloud });
    const source = keys.from ? { keys: keys.from } : {};
    this.function("copy", {
      handler: code<typeof import("./functions/copy.ts")>(new URL("./functions/copy.ts", import.meta.url)),
      links: { from: all(read(from, source), remove(from, source)), to: write(to, keys.to ? { keys: keys.to } : {}) },
    });
    this.build();
  }
}
