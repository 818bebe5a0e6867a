/** The tests of the archive under a Redis that is gone for a minute. */
process.env.MILLRACE_REDIS_GONE = "60000";
await import("../real/archive-redis.test.ts");
