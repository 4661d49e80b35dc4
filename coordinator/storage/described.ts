import { S3Error } from './errors.js';
import type { ObjectRecord } from './object-record.js';

/** Headers that belong to an object and are given back with it. */
const keptHeaders = [
  'content-type',
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-language',
  'expires',
];
const metaPrefix = 'x-amz-meta-';
/** S3's limit. */
const maxMetaBytes = 2048;

/** Headers that ask for what this server does not do. Taking them in silence would be a promise broken. */
const refusedHeaders = [
  'x-amz-server-side-encryption',
  'x-amz-server-side-encryption-customer-algorithm',
  'x-amz-object-lock-mode',
  'x-amz-object-lock-legal-hold',
  'x-amz-tagging',
  'x-amz-website-redirect-location',
  'x-amz-write-offset-bytes',
];

/** How the client describes the object that it makes. */
export function describedBy(headers: ReadonlyMap<string, string>): Pick<ObjectRecord, 'headers' | 'meta'> {
  const kept: Record<string, string> = {};
  const meta: Record<string, string> = {};
  let metaBytes = 0;
  for (const [name, value] of headers) {
    if (refusedHeaders.includes(name)) {
      throw new S3Error('NotImplemented', `this server does not do what the header ${name} asks for`);
    }
    if (keptHeaders.includes(name)) {
      const plain = name === 'content-encoding' ? withoutChunking(value) : value;
      if (plain !== '') kept[name] = plain;
    } else if (name.startsWith(metaPrefix)) {
      const short = name.slice(metaPrefix.length);
      metaBytes += short.length + Buffer.byteLength(value);
      meta[short] = value;
    }
  }
  if (metaBytes > maxMetaBytes) {
    throw new S3Error('MetadataTooLarge', `metadata has at most ${maxMetaBytes} bytes`);
  }
  return { headers: kept, meta };
}

/** The headers with which an object is answered; `response-*` parameters of the query override some. */
export function objectHeaders(
  record: ObjectRecord,
  query: ReadonlyMap<string, readonly string[]>,
): Record<string, string> {
  const headers: Record<string, string> = {
    'content-type': 'binary/octet-stream',
    ...record.headers,
    etag: `"${record.etag}"`,
    'last-modified': new Date(record.modifiedAt).toUTCString(),
    'accept-ranges': 'bytes',
  };
  for (const [name, value] of Object.entries(record.meta)) headers[metaPrefix + name] = value;
  for (const name of keptHeaders) {
    const override = query.get(`response-${name}`)?.[0];
    if (override !== undefined) headers[name] = override;
  }
  for (const [name, value] of Object.entries(headers)) headers[name] = headerText(name, value);
  return headers;
}

/** Node writes header characters as single bytes: these are the bytes of the UTF-8. */
function headerText(name: string, value: string): string {
  // eslint-disable-next-line no-control-regex -- a line break in a header would begin another one
  if (/[\u0000-\u001f\u007f]/.test(value)) {
    throw new S3Error('InvalidArgument', `the value for ${name} has control characters`);
  }
  return Buffer.from(value).toString('latin1');
}

const withoutChunking = (encoding: string): string =>
  encoding
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== 'aws-chunked' && one !== '')
    .join(',');
