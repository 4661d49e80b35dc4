import type { OpenContent, Span } from './content.js';
import { S3Error } from './errors.js';
import type { Buckets } from './buckets.js';
import type { S3Request } from './request.js';
import type { PayloadProof } from './s3-signature.js';
import { xmlDocument } from './xml.js';
import type { XmlElements } from './xml.js';

/** A request whose signature is right. */
export interface Call {
  readonly request: S3Request;
  readonly proof: PayloadProof;
  readonly buckets: Buckets;
}

/** What a route decided; `send` puts it on the wire and closes `content`. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body:
    | { readonly kind: 'none' }
    | { readonly kind: 'text'; readonly text: string }
    | { readonly kind: 'content'; readonly content: OpenContent; readonly span: Span };
}

export const emptyAnswer = (status: number, headers: Answer['headers'] = {}): Answer => ({
  status,
  headers,
  body: { kind: 'none' },
});

export const xmlAnswer = (root: string, content: XmlElements): Answer => ({
  status: 200,
  headers: { 'content-type': 'application/xml' },
  body: { kind: 'text', text: xmlDocument(root, content) },
});

export const isoTime = (ms: number): string => new Date(ms).toISOString();
export const quoted = (etag: string): string => `"${etag}"`;

/** An integer of a query or header, within bounds that the caller names. */
export function integerOf(text: string | undefined, name: string, fallback: number): number {
  if (text === undefined || text === '') return fallback;
  if (!/^\d{1,9}$/.test(text)) throw new S3Error('InvalidArgument', `${name} must be a whole number`);
  return Number(text);
}
