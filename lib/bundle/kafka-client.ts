import { dirname, join, resolve, sep } from "node:path";
import { build, type Plugin } from "esbuild";

const PACKAGE = join("node_modules", "@platformatic", "kafka", "dist");
/** What `runtime/kafka/` uses of the package. */
const USED = [
  "addOffsetsToTxnV1",
  "addPartitionsToTxnV1",
  "apiVersionsV2",
  "compressionsAlgorithmsByBitmask",
  "ConnectionPool",
  "crc32c",
  "createTopicsV4",
  "endTxnV1",
  "findCoordinatorV2",
  "groupByProperty",
  "heartbeatV2",
  "initProducerIdV1",
  "joinGroupV4",
  "leaveGroupV2",
  "listGroupsV2",
  "listOffsetsV4",
  "metadataV7",
  "offsetCommitV6",
  "offsetFetchV5",
  "offsetFetchV7",
  "ProtocolError",
  "Reader",
  "syncGroupV2",
  "txnOffsetCommitV2",
  "Writer",
];

/**
 * Makes one module of what is used of the Kafka client. The package does not say that its modules are without side
 * effects, so that all it has would come along, with what it has for schema registries; where a port is loaded when it is
 * first asked for, esbuild leaves out nothing of what stands behind an `export *`. And the package reads its WebAssembly
 * from a file beside it, which a bundle does not have: another module of the same package has it as text.
 *
 * @see https://esbuild.github.io/api/#tree-shaking-and-side-effects
 */
export const kafkaClient: Plugin = {
  name: "kafka-client",
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]@platformatic[\\/]kafka[\\/]dist[\\/]index\.js$/ }, async ({ path }) => ({
      contents: await flattened(path),
      resolveDir: dirname(path),
    }));
  },
};

/** Built once in a process: the functions of a program are many. */
const underway = new Map<string, Promise<string>>();

function flattened(index: string): Promise<string> {
  const known = underway.get(index);
  if (known) return known;
  const made = flatten(index);
  underway.set(index, made);
  return made;
}

async function flatten(index: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents: `export { ${USED.join(", ")} } from "./index.js";`, resolveDir: dirname(index) },
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    legalComments: "none",
    write: false,
    logLevel: "silent",
    plugins: [withoutEffects],
  });
  return outputFiles[0]!.text;
}

const withoutEffects: Plugin = {
  name: "without-effects",
  setup({ onResolve, resolve: ask }) {
    onResolve({ filter: /^\.\.?\/.*\.js$/ }, ({ path, resolveDir }) =>
      `${resolveDir}${sep}`.includes(`${sep}${PACKAGE}${sep}`)
        ? { path: resolve(resolveDir, path), sideEffects: false }
        : undefined,
    );
    onResolve({ filter: /^@platformatic\/wasm-utils$/ }, async ({ path, importer, kind, resolveDir }) => {
      const { path: found, errors } = await ask(`${path}/bundled`, { importer, kind, resolveDir });
      return errors.length > 0 ? undefined : { path: found };
    });
  },
};
