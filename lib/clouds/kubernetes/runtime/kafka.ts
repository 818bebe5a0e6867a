/** The streams of a Kafka, whoever runs it. */
export { port, worldBy } from "../../../runtime/kafka/port.ts";
