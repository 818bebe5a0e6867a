export { type KafkaServer, type KafkaUser, startKafka } from "./kafka.ts";
export { applyKedaCrds, type KubernetesServer, startKubernetes } from "./kubernetes.ts";
export { type MotoServer, startMoto } from "./moto.ts";
export { type NatsServer, startNats } from "./nats.ts";
export { type RedisServer, startRedis } from "./redis.ts";
export { type S3Events, type S3Server, startS3 } from "./s3.ts";
export type { Server } from "./server.ts";
