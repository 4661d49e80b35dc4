import { XMLParser } from 'fast-xml-parser';
import { S3Error } from './errors.js';

/** What goes into a document: text, elements by name, or `undefined` for an element to leave out. An array repeats its element. */
export type XmlValue = string | number | boolean | undefined | readonly XmlValue[] | XmlElements;
export interface XmlElements {
  readonly [name: string]: XmlValue;
}

const namespace = 'http://s3.amazonaws.com/doc/2006-03-01/';

export function xmlDocument(root: string, content: XmlElements): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<${root} xmlns="${namespace}">${elements(content)}</${root}>`;
}

/** Errors have no namespace. */
export function xmlError(content: XmlElements): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<Error>${elements(content)}</Error>`;
}

function elements(content: XmlElements): string {
  return Object.entries(content)
    .map(([name, value]) => element(name, value))
    .join('');
}

function element(name: string, value: XmlValue): string {
  if (value === undefined) return '';
  if (isArray(value)) return value.map((one) => element(name, one)).join('');
  return `<${name}>${typeof value === 'object' ? elements(value) : escapeXml(String(value))}</${name}>`;
}

// `Array.isArray` does not narrow a readonly array.
const isArray = (value: XmlValue): value is readonly XmlValue[] => Array.isArray(value);

/**
 * Control characters are written as references, as S3 does: some are not valid XML 1.0 even so, which is what `encoding-type=url` is for; and a
 * carriage return as it is would arrive as a line feed.
 */
function escapeXml(text: string): string {
  return text.replace(
    // eslint-disable-next-line no-control-regex -- they are what is meant
    /[&<>"\u0000-\u0008\u000b-\u001f\u007f]/g,
    (char) => named[char] ?? `&#x${char.charCodeAt(0).toString(16)};`,
  );
}

const named: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

/** Elements by name; repeated ones and those in `repeated` as arrays; all text as it is. */
const parser = new XMLParser({
  ignoreAttributes: true,
  parseTagValue: false,
  trimValues: false,
  htmlEntities: true,
  isArray: (name) => name === 'Object' || name === 'Part',
});

/** The one element that a document is, from its beginning to its end. */
const wholeDocument = /^\s*(?:<\?xml[^>]*\?>)?\s*<([A-Za-z]+)(?:\s[^>]*)?>.*<\/\1>\s*$/s;

/**
 * Parses the document of a request. Throws `MalformedXML`. The parser is lenient inside of it; length and digest of the body have shown by then
 * that it is what the client wrote.
 */
export function parseXml(text: string): Readonly<Record<string, unknown>> {
  // No client sends a document type; what it could declare is only trouble.
  if (text.includes('<!DOCTYPE')) throw new S3Error('MalformedXML', 'a document type is not accepted');
  try {
    const parsed: unknown = wholeDocument.test(text) ? parser.parse(text) : undefined;
    if (isRecord(parsed)) return parsed;
  } catch {
    // Its own words are about its own parser; the client needs to know only that the document is wrong.
  }
  throw new S3Error('MalformedXML', 'the document is not well-formed');
}

export const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
