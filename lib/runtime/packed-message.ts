/** A message as a handler sees it. */
export interface MessageContent {
  readonly body: string;
  readonly attributes: Readonly<Record<string, string>>;
}

/**
 * Body and attributes in one text, for where a queue cannot take them as they are: plain ASCII without control
 * characters, JSON that says what it is.
 */
export const packMessage = ({ body, attributes }: MessageContent): string =>
  `{"millrace":${escapeControls(JSON.stringify([body, attributes]))}}`;

/** Whether a body looks packed: then it has to be, so that it comes back as it was. */
export const looksPacked = (body: string): boolean => body.startsWith(MARK);

/** What was packed; nothing if it is what somebody else sent. */
export function unpackMessage(text: string): MessageContent | undefined {
  if (!looksPacked(text)) return undefined;
  try {
    const [body, attributes] = (JSON.parse(text) as { millrace: [string, Record<string, string>] }).millrace;
    return { body, attributes };
  } catch {
    return undefined;
  }
}

const MARK = '{"millrace":["';

/** JSON may write any character by its code. */
const escapeControls = (json: string): string =>
  json.replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
