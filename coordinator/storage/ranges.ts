import type { Span } from './content.js';

export type RangeAnswer =
  | { readonly kind: 'whole'; readonly span: Span }
  | { readonly kind: 'part'; readonly span: Span }
  | { readonly kind: 'unsatisfiable' };

/**
 * What a `Range` header asks of `bytes` bytes. A header that is malformed, or asks for several ranges, is as if it were not there
 * (RFC 9110, section 14.2); S3 does the same.
 */
export function rangeOf(header: string | undefined, bytes: number): RangeAnswer {
  const whole = { kind: 'whole', span: { start: 0, end: bytes } } as const;
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header?.trim() ?? '');
  if (match === null) return whole;
  const [, first = '', last = ''] = match;
  if (first === '') {
    if (last === '') return whole;
    const suffix = Number(last);
    if (suffix === 0 || bytes === 0) return { kind: 'unsatisfiable' };
    return { kind: 'part', span: { start: Math.max(0, bytes - suffix), end: bytes } };
  }
  const start = Number(first);
  if (last !== '' && Number(last) < start) return whole;
  if (start >= bytes) return { kind: 'unsatisfiable' };
  return { kind: 'part', span: { start, end: last === '' ? bytes : Math.min(bytes, Number(last) + 1) } };
}
