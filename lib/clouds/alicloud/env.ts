/** What divides a line into the words it is found by: the service's own choice for new indexes. */
export const LOG_DIVIDERS = ", '\";=()[]{}?@&<>/:\n\t\r";

/** Of a state, and of an execution's input, in bytes. https://www.alibabacloud.com/help/en/serverless-workflow/latest/limits */
export const MOST_STATE = 64 * 1024;
/** Of a step's output, in bytes: what else is handed on has the rest of {@link MOST_STATE}. */
export const LARGEST_OUTPUT = 48 * 1024;
/** Where an execution that does some items of a map has each item and its number. */
export const CHUNK_ITEM = "i0";
