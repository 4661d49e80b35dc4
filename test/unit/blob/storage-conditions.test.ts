import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { conditionsOf, judge } from '../../../coordinator/storage/conditions.js';
import type { ObjectRecord } from '../../../coordinator/storage/object-record.js';
import { rangeOf } from '../../../coordinator/storage/ranges.js';
import { parseXml, xmlDocument } from '../../../coordinator/storage/xml.js';

const current: ObjectRecord = {
  v: 1,
  key: 'k',
  bytes: 1,
  etag: 'abc',
  modifiedAt: Date.parse('2026-01-01T00:00:00.500Z'),
  headers: {},
  meta: {},
  checksums: {},
};
const before = 'Wed, 31 Dec 2025 23:59:59 GMT';
const same = 'Thu, 01 Jan 2026 00:00:00 GMT';
const after = 'Thu, 01 Jan 2026 00:00:01 GMT';

describe('conditional requests', () => {
  it.each([
    [{}, 'proceed'],
    [{ 'if-match': '"abc"' }, 'proceed'],
    [{ 'if-match': 'abc' }, 'proceed'],
    [{ 'if-match': '*' }, 'proceed'],
    [{ 'if-match': '"x", "abc"' }, 'proceed'],
    [{ 'if-match': '"x"' }, 'failed'],
    [{ 'if-none-match': '"abc"' }, 'not-modified'],
    [{ 'if-none-match': 'W/"abc"' }, 'not-modified'],
    [{ 'if-none-match': '*' }, 'not-modified'],
    [{ 'if-none-match': '"x"' }, 'proceed'],
    [{ 'if-modified-since': before }, 'proceed'],
    [{ 'if-modified-since': same }, 'not-modified'],
    [{ 'if-modified-since': after }, 'not-modified'],
    [{ 'if-modified-since': 'yesterday' }, 'proceed'],
    [{ 'if-unmodified-since': before }, 'failed'],
    [{ 'if-unmodified-since': same }, 'proceed'],
    // A tag that is given makes its time irrelevant.
    [{ 'if-match': '"abc"', 'if-unmodified-since': before }, 'proceed'],
    [{ 'if-none-match': '"x"', 'if-modified-since': after }, 'proceed'],
    [{ 'if-match': '"x"', 'if-none-match': '"abc"' }, 'failed'],
  ])('%j of an object: %s', (headers, verdict) => {
    expect(judge(conditionsOf(new Map(Object.entries(headers))), current)).toBe(verdict);
  });

  it.each([
    [{ 'if-match': '*' }, 'failed'],
    [{ 'if-none-match': '*' }, 'proceed'],
    [{}, 'proceed'],
  ])('%j of nothing: %s', (headers, verdict) => {
    expect(judge(conditionsOf(new Map(Object.entries(headers))), undefined)).toBe(verdict);
  });
});

describe('a range', () => {
  it.each([
    [undefined, 10, 'whole', 0, 10],
    ['bytes=0-', 10, 'part', 0, 10],
    ['bytes=3-5', 10, 'part', 3, 6],
    ['bytes=9-100', 10, 'part', 9, 10],
    ['bytes=-3', 10, 'part', 7, 10],
    ['bytes=-100', 10, 'part', 0, 10],
    ['bytes=5-3', 10, 'whole', 0, 10],
    ['bytes=-', 10, 'whole', 0, 10],
    ['bytes=0-1,3-4', 10, 'whole', 0, 10],
    ['lines=1-2', 10, 'whole', 0, 10],
    ['bytes=a-b', 10, 'whole', 0, 10],
  ])('%s of %d bytes is %s from %d to %d', (header, bytes, kind, start, end) => {
    expect(rangeOf(header, bytes)).toEqual({ kind, span: { start, end } });
  });

  it.each([
    ['bytes=10-', 10],
    ['bytes=0-', 0],
    ['bytes=-0', 10],
    ['bytes=-1', 0],
  ])('%s of %d bytes cannot be given', (header, bytes) => {
    expect(rangeOf(header, bytes)).toEqual({ kind: 'unsatisfiable' });
  });
});

// Control characters that XML 1.0 cannot hold.
// eslint-disable-next-line no-control-regex -- they are what is meant
const notXml = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g;

describe('documents', () => {
  it('give back any text that XML can hold', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        // A surrogate alone has no place in UTF-8.
        const plain = Buffer.from(text).toString().replace(notXml, '');
        const parsed = parseXml(xmlDocument('A', { B: plain, Part: [{ C: 'x' }] }));
        expect(parsed['A']).toMatchObject({ B: plain, Part: [{ C: 'x' }] });
      }),
    );
  }, 60_000);

  it.each(['', 'text', '<a>', '<a></b>', '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>'])(
    'refuses %j',
    (text) => {
      expect(() => parseXml(text)).toThrow(/document/);
    },
  );
});
