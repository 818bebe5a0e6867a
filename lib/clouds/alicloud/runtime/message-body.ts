import {
  looksPacked,
  type MessageContent,
  packMessage as pack,
  unpackMessage as unpack,
} from "../../../runtime/packed-message.ts";
import { isXmlText } from "./xml.ts";

/**
 * A body as the queue stores it. The service knows no attributes and carries XML: text without attributes goes as it
 * is, so that anybody can read it; all else goes in JSON that says so.
 */
export const packMessage = (content: MessageContent): string =>
  Object.keys(content.attributes).length === 0 && isXmlText(content.body) && !looksPacked(content.body)
    ? content.body
    : pack(content);

/** What was packed; a body that somebody else sent is taken as it is. */
export const unpackMessage = (text: string): MessageContent => unpack(text) ?? { body: text, attributes: {} };
