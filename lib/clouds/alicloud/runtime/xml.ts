import { parseXml, XmlElement } from "@rgrove/parse-xml";

/** An element of an answer: its text, and its children by name. */
export class Element {
  readonly #element: XmlElement;

  constructor(element: XmlElement) {
    this.#element = element;
  }

  get name(): string {
    return this.#element.name;
  }

  /** The text of the child; empty if there is none. */
  text(name: string): string {
    return this.all(name)[0]?.content ?? "";
  }

  /** The children of that name, in order. */
  all(name: string): readonly Element[] {
    return this.#element.children
      .filter((child): child is XmlElement => child instanceof XmlElement && child.name === name)
      .map((child) => new Element(child));
  }

  get content(): string {
    return this.#element.text;
  }
}

/** The root element of a document. @throws where it is none */
export function readXml(text: string): Element {
  const { root } = parseXml(text, { ignoreUndefinedEntities: true });
  if (!root) throw new Error(`no XML: ${text.slice(0, 80)}`);
  return new Element(root);
}

/** Text as XML writes it. */
export const escapeXml = (text: string): string =>
  text.replace(/[&<>\r]/g, (character) => `&#${character.charCodeAt(0)};`);

/** Whether XML 1.0 can hold the text: it has no way to write most control characters. https://www.w3.org/TR/xml/#charsets */
export const isXmlText = (text: string): boolean =>
  !/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/u.test(text);
