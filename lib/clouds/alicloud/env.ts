/** What divides a line into the words it is found by: the service's own choice for new indexes. */
export const LOG_DIVIDERS = ", '\";=()[]{}?@&<>/:\n\t\r";
