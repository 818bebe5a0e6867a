import { spawnSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { installKafka } from "../install/kafka.ts";
import { freePorts, type Server, startServer } from "./server.ts";

export interface KafkaServer {
  /** `127.0.0.1:<port>`, without any user. */
  readonly broker: string;
  /** `127.0.0.1:<port>`, only for those in `users`. */
  readonly guarded: string;
  /** `localhost:<port>`, the same, encrypted. */
  readonly encrypted: string;
  /** Path of the certificate that vouches for it. */
  readonly certificate: string;
  /** Ends the broker and starts it again, with what it has, on the same ports. */
  restart(): Promise<void>;
  /** Ends the broker; what it has stays. `start` starts it again. */
  pause(): Promise<void>;
  start(): Promise<void>;
  /** Ends it and removes what it has. */
  stop(): Promise<void>;
}

type Ports = readonly [plain: number, guarded: number, controller: number, encrypted: number];

/** Who may connect to the guarded port. */
export interface KafkaUser {
  readonly username: string;
  readonly password: string;
}

/**
 * A Kafka of one broker without ZooKeeper, on files of its own.
 *
 * @param users are known by all mechanisms: PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512
 * @param settings beside those that a single broker needs, of `server.properties`
 */
export async function startKafka({
  users = [],
  settings = {},
}: {
  readonly users?: readonly KafkaUser[];
  readonly settings?: Readonly<Record<string, string | number>>;
} = {}): Promise<KafkaServer> {
  const libs = await installKafka();
  const folder = await mkdtemp(join(tmpdir(), "millrace-kafka-data-"));
  const ports = (await freePorts(4)) as Ports;
  makeCertificate(folder);
  const file = join(folder, "server.properties");
  writeFileSync(file, propertiesOf(folder, ports, users, settings));
  format(libs, file, users);
  let server: Server | undefined;
  const start = async () => {
    server = await startServer({
      name: "kafka",
      command: "java",
      args: () => [...JAVA, "-cp", join(libs, "*"), "kafka.Kafka", file],
      ready: () => answers(ports[0]),
      withinMs: 180_000,
    });
  };
  const pause = async () => {
    await server?.stop();
    server = undefined;
  };
  await start();
  return {
    broker: `127.0.0.1:${ports[0]}`,
    guarded: `127.0.0.1:${ports[1]}`,
    encrypted: `localhost:${ports[3]}`,
    certificate: join(folder, CERTIFICATE),
    start,
    pause,
    restart: async () => {
      await pause();
      await start();
    },
    stop: async () => {
      try {
        await pause();
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
  };
}

/** Little memory, and started soon rather than fast later. */
const JAVA = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j.rootLogger=OFF"];

/** https://kafka.apache.org/39/documentation.html#brokerconfigs */
function propertiesOf(
  folder: string,
  [plain, guarded, controller, encrypted]: Ports,
  users: readonly KafkaUser[],
  settings: Readonly<Record<string, string | number>>,
): string {
  const listener = (name: string, port: number) => `${name}://127.0.0.1:${port}`;
  const open = [listener("PLAIN", plain), listener("GUARDED", guarded), listener("ENCRYPTED", encrypted)].join(",");
  const clients = open.replace("ENCRYPTED://127.0.0.1", "ENCRYPTED://localhost");
  const all = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.quorum.voters": `1@127.0.0.1:${controller}`,
    listeners: `${open},${listener("CONTROLLER", controller)}`,
    "advertised.listeners": clients,
    "listener.security.protocol.map": "PLAIN:PLAINTEXT,GUARDED:SASL_PLAINTEXT,ENCRYPTED:SASL_SSL,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "PLAIN",
    "controller.listener.names": "CONTROLLER",
    "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
    ...logins("guarded", users),
    ...logins("encrypted", users),
    "ssl.keystore.type": "PKCS12",
    "ssl.keystore.location": join(folder, KEYS),
    "ssl.keystore.password": PASSWORD,
    "log.dirs": join(folder, "logs"),
    "auto.create.topics.enable": false,
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 5,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 5,
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1000,
    ...settings,
  };
  return Object.entries(all)
    .map(([name, value]) => `${name}=${value}\n`)
    .join("");
}

function logins(listener: string, users: readonly KafkaUser[]): Readonly<Record<string, string>> {
  const module = "org.apache.kafka.common.security";
  const known = users.map(({ username, password }) => `user_${username}="${password}"`).join(" ");
  const name = `listener.name.${listener}`;
  return {
    [`${name}.plain.sasl.jaas.config`]: `${module}.plain.PlainLoginModule required ${known};`,
    [`${name}.scram-sha-256.sasl.jaas.config`]: `${module}.scram.ScramLoginModule required;`,
    [`${name}.scram-sha-512.sasl.jaas.config`]: `${module}.scram.ScramLoginModule required;`,
  };
}

const KEYS = "keys.p12";
const CERTIFICATE = "certificate.pem";
const PASSWORD = "millrace";

/** https://docs.oracle.com/en/java/javase/17/docs/specs/man/keytool.html */
function makeCertificate(folder: string): void {
  const keys = ["-alias", "kafka", "-keystore", join(folder, KEYS), "-storetype", "PKCS12", "-storepass", PASSWORD];
  const names = ["-dname", "CN=localhost", "-ext", "san=dns:localhost"];
  run("keytool", ["-genkeypair", ...keys, ...names, "-keyalg", "EC", "-validity", "2"]);
  run("keytool", ["-exportcert", "-rfc", ...keys, "-file", join(folder, CERTIFICATE)]);
}

function run(command: string, args: readonly string[]): void {
  const { status, stderr, stdout, error } = spawnSync(command, args, { encoding: "utf8" });
  if (status !== 0) throw error ?? new Error(`${command} ${args.join(" ")} ended with ${status}:\n${stdout}${stderr}`);
}

/** Gives the folder its id, and the users their passwords: in KRaft mode these are in the metadata from the beginning. */
function format(libs: string, file: string, users: readonly KafkaUser[]): void {
  const scram = users.flatMap(({ username, password }) =>
    ["SCRAM-SHA-256", "SCRAM-SHA-512"].flatMap((mechanism) => [
      "--add-scram",
      `${mechanism}=[name=${username},password=${password}]`,
    ]),
  );
  const args = ["-cp", join(libs, "*"), "kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", file, ...scram];
  run("java", [...JAVA, ...args]);
}

/** Any UUID, as 22 characters of base64. */
const CLUSTER = "bWlsbHJhY2UtdGVzdHMtMQ";

/** Accepts connections once it is the leader of what it has. */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ host: "127.0.0.1", port });
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}
