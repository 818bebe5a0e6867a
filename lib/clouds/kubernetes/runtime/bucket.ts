/** The buckets of a store that speaks S3. */
export { port, worldBy } from "../../aws/runtime/s3.ts";
