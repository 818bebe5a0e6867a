import { isXmlText } from "./xml.ts";

/** A message as a handler sees it. */
export interface MessageContent {
  readonly body: string;
  readonly attributes: Readonly<Record<string, string>>;
}

/**
 * A body as the queue stores it. The service knows no attributes and carries XML: text without attributes goes as it
 * is, so that anybody can read it; all else goes in JSON that says so.
 */
export function packMessage({ body, attributes }: MessageContent): string {
  if (Object.keys(attributes).length === 0 && isXmlText(body) && !body.startsWith(MARK)) return body;
  return `${MARK}${escapeControls(JSON.stringify([body, attributes]))}}`;
}

/** What was packed; a body that somebody else sent is taken as it is. */
export function unpackMessage(text: string): MessageContent {
  if (!text.startsWith(MARK)) return { body: text, attributes: {} };
  try {
    const [body, attributes] = (JSON.parse(text) as { millrace: [string, Record<string, string>] }).millrace;
    return { body, attributes };
  } catch {
    return { body: text, attributes: {} };
  }
}

const MARK = '{"millrace":';

/** JSON may write any character by its code. */
const escapeControls = (json: string): string =>
  json.replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
