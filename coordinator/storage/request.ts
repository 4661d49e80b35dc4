import type { IncomingMessage } from 'node:http';
import { S3Error } from './errors.js';

/** What S3 allows. */
const maxKeyBytes = 1024;

/** One request, taken apart and not yet trusted. */
export interface S3Request {
  readonly method: string;
  /** As the client sent it, before decoding: signatures are over these characters. */
  readonly rawPath: string;
  readonly bucket: string | undefined;
  readonly key: string | undefined;
  readonly query: ReadonlyMap<string, readonly string[]>;
  /** Names in lower case; of repeated headers the values joined. */
  readonly headers: ReadonlyMap<string, string>;
  readonly message: IncomingMessage;
  /** Call before the body is read: a client that asked (`Expect: 100-continue`) is told to send it. */
  readonly accept: () => void;
}

export function parseRequest(message: IncomingMessage, accept: () => void): S3Request {
  const target = message.url ?? '/';
  const mark = target.indexOf('?');
  const rawPath = mark < 0 ? target : target.slice(0, mark);
  if (!rawPath.startsWith('/')) throw new S3Error('InvalidURI', 'the request names no path');
  const slash = rawPath.indexOf('/', 1);
  const bucket = decode(slash < 0 ? rawPath.slice(1) : rawPath.slice(1, slash));
  const key = slash < 0 ? '' : decode(rawPath.slice(slash + 1));
  if (Buffer.byteLength(key) > maxKeyBytes) {
    throw new S3Error('KeyTooLongError', `a key has at most ${maxKeyBytes} bytes`);
  }
  return {
    method: message.method ?? 'GET',
    rawPath,
    bucket: bucket === '' ? undefined : bucket,
    key: key === '' ? undefined : key,
    query: parseQuery(mark < 0 ? '' : target.slice(mark + 1)),
    headers: headersOf(message),
    message,
    accept,
  };
}

/** The first value of a query parameter. */
export const queryOf = (request: S3Request, name: string): string | undefined => request.query.get(name)?.[0];

/** Signed in its query: by someone who holds a URL and no credentials. */
export const isPresigned = (request: S3Request): boolean =>
  request.query.has('X-Amz-Signature') || request.query.has('X-Amz-Algorithm');

function parseQuery(text: string): ReadonlyMap<string, readonly string[]> {
  const query = new Map<string, string[]>();
  for (const pair of text.split('&')) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const name = decode(plusAsSpace(equals < 0 ? pair : pair.slice(0, equals)));
    const value = equals < 0 ? '' : decode(plusAsSpace(pair.slice(equals + 1)));
    const values = query.get(name);
    if (values === undefined) query.set(name, [value]);
    else values.push(value);
  }
  return query;
}

const plusAsSpace = (text: string): string => text.replaceAll('+', ' ');

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // The one thing it throws: a malformed escape, or bytes that are not UTF-8.
    throw new S3Error('InvalidURI', 'the path or query is no percent-encoded UTF-8');
  }
}

function headersOf(message: IncomingMessage): ReadonlyMap<string, string> {
  const headers = new Map<string, string>();
  for (let i = 0; i + 1 < message.rawHeaders.length; i += 2) {
    const name = message.rawHeaders[i]?.toLowerCase() ?? '';
    // Node reads header bytes as latin1; clients that send other characters send, and sign, UTF-8.
    const value = Buffer.from(message.rawHeaders[i + 1] ?? '', 'latin1').toString();
    const earlier = headers.get(name);
    headers.set(name, earlier === undefined ? value : `${earlier},${value}`);
  }
  return headers;
}
