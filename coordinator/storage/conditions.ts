import type { ObjectRecord } from './object-record.js';

/** The four conditional headers, or the four of a copy's source. */
export interface Conditions {
  readonly ifMatch: string | undefined;
  readonly ifNoneMatch: string | undefined;
  readonly ifModifiedSince: string | undefined;
  readonly ifUnmodifiedSince: string | undefined;
}

export function conditionsOf(headers: ReadonlyMap<string, string>, prefix = ''): Conditions {
  return {
    ifMatch: headers.get(`${prefix}if-match`),
    ifNoneMatch: headers.get(`${prefix}if-none-match`),
    ifModifiedSince: headers.get(`${prefix}if-modified-since`),
    ifUnmodifiedSince: headers.get(`${prefix}if-unmodified-since`),
  };
}

export type Verdict = 'proceed' | 'not-modified' | 'failed';

/** RFC 9110, section 13.2.2: tags decide before times, and a tag that is given makes its time irrelevant. */
export function judge(conditions: Conditions, current: ObjectRecord | undefined): Verdict {
  const { ifMatch, ifNoneMatch, ifModifiedSince, ifUnmodifiedSince } = conditions;
  if (ifMatch !== undefined) {
    if (!matches(ifMatch, current)) return 'failed';
  } else if (ifUnmodifiedSince !== undefined && current !== undefined) {
    if (secondsOf(current.modifiedAt) > secondsOf(Date.parse(ifUnmodifiedSince))) return 'failed';
  }
  if (ifNoneMatch !== undefined) {
    if (matches(ifNoneMatch, current)) return 'not-modified';
  } else if (ifModifiedSince !== undefined && current !== undefined) {
    if (secondsOf(current.modifiedAt) <= secondsOf(Date.parse(ifModifiedSince))) return 'not-modified';
  }
  return 'proceed';
}

/** `*` matches any object that exists. */
function matches(header: string, current: ObjectRecord | undefined): boolean {
  if (current === undefined) return false;
  return header.split(',').some((tag) => {
    const bare = tag.trim().replace(/^W\//, '').replaceAll('"', '');
    return bare === '*' || bare === current.etag;
  });
}

/** Times in headers have no fractions. Of no valid time: NaN, which is neither more nor less. */
const secondsOf = (ms: number): number => Math.floor(ms / 1000);
