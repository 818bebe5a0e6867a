/** Where the manifest stands: an environment variable, as JSON. */
export const MANIFEST_VARIABLE = "MILLRACE_FETCH";

/** What a container fetches before its code can run. */
export interface FetchManifest {
  /** Of an S3-compatible store, whose buckets are in the path. @default AWS's own for the region */
  readonly endpoint?: string;
  readonly region: string;
  readonly bucket: string;
  /** Absolute path of the folder that gets everything; it is made if it is not there. */
  readonly into: string;
  readonly files: readonly FetchedFile[];
}

/** One object of the bucket, and what becomes of it. */
export interface FetchedFile {
  readonly key: string;
  /** Of the object, as 64 hexadecimal digits. */
  readonly sha256: string;
  /** `code`, a zip, is unpacked to `<into>/<name>/`; a `tool` becomes `<into>/bin/<name>`. */
  readonly as: "code" | "tool";
  /** Of the folder or of the file: letters, digits, `.`, `_` and `-`. */
  readonly name: string;
  /** Of a tool. @default true */
  readonly executable?: boolean;
  /** Of a tool that lies in a zip: its path there. @default the object is the tool itself */
  readonly member?: string;
}

/** @throws an error that names the field, what it is and what it may be. */
export function readManifest(text: string | undefined): FetchManifest {
  if (!text) throw new Error(`${MANIFEST_VARIABLE}: is not set: it says as JSON what to fetch`);
  const manifest = parse(text);
  const { endpoint, region, bucket, into, files } = manifest;
  if (endpoint !== undefined) check("endpoint", endpoint, /^https?:\/\/[^/]+\/?$/, "http(s)://host, or nothing");
  check("region", region, /^[\w-]+$/, "a region");
  check("bucket", bucket, /^[\w.-]+$/, "a bucket's name");
  check("into", into, /^\//, "an absolute path");
  if (!Array.isArray(files)) throw new Error(`${MANIFEST_VARIABLE}: files: is no list`);
  for (const [index, file] of (files as FetchedFile[]).entries()) checkFile(`files[${index}]`, file);
  return manifest;
}

function parse(text: string): FetchManifest {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${MANIFEST_VARIABLE}: is no JSON: ${(error as Error).message}`);
  }
}

function checkFile(path: string, { key, sha256, as, name, member }: FetchedFile): void {
  check(`${path}.key`, key, /./, "an object's key");
  check(`${path}.sha256`, sha256, /^[0-9a-f]{64}$/, "64 hexadecimal digits, in lower case");
  check(`${path}.as`, as, /^(code|tool)$/, '"code" or "tool"');
  // Nothing that leads out of the folder, nor into one of its own.
  check(`${path}.name`, name, /^(?!bin$)\w[\w.-]*$/, 'letters, digits, ".", "_" and "-", but not "bin"');
  if (member !== undefined) check(`${path}.member`, member, /./, "a path in the zip");
}

function check(path: string, value: unknown, form: RegExp, allowed: string): void {
  if (typeof value === "string" && form.test(value)) return;
  throw new Error(`${MANIFEST_VARIABLE}: ${path}: ${JSON.stringify(value)} is not ${allowed}`);
}
