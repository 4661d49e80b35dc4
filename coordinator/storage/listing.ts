import { join } from 'node:path';
import { fromByteString, toByteString } from './key-path.js';
import type { TreeEntry } from './key-path.js';
import type { ObjectRecord } from './object-record.js';
import type { ObjectTree } from './object-tree.js';

export interface ListRequest {
  readonly prefix: string;
  /** Keys after this one. A common prefix counts as listed once it is not after this one. */
  readonly after: string;
  readonly delimiter: string;
  readonly max: number;
}

export interface ListPage {
  readonly objects: readonly ObjectRecord[];
  readonly commonPrefixes: readonly string[];
  /** There is more; the next page is what comes after this. */
  readonly next: string | undefined;
}

/** Records read at once for one page. */
const readAhead = 32;

/**
 * One page, in the order of the keys' bytes. Reads only directories that can hold a key of the page; subtrees before `after`, outside of `prefix`
 * and inside a common prefix are passed over by name.
 */
export async function listObjects(tree: ObjectTree, request: ListRequest): Promise<ListPage> {
  const cursor = {
    prefix: toByteString(request.prefix),
    after: toByteString(request.after),
    passOver: undefined as string | undefined,
  };
  const delimiter = toByteString(request.delimiter);
  const keys: string[] = [];
  const commonPrefixes: string[] = [];
  let last = '';
  let next: string | undefined;
  if (request.max > 0) {
    for await (const key of walk(tree, '', tree.root, cursor)) {
      const at = delimiter === '' ? -1 : key.indexOf(delimiter, cursor.prefix.length);
      const common = at < 0 ? undefined : key.slice(0, at + delimiter.length);
      if (common !== undefined) cursor.passOver = common;
      const item = common ?? key;
      if (item <= cursor.after) continue;
      if (keys.length + commonPrefixes.length === request.max) {
        next = last;
        break;
      }
      last = item;
      (common === undefined ? keys : commonPrefixes).push(item);
    }
  }
  return {
    objects: await recordsOf(tree, keys),
    commonPrefixes: commonPrefixes.map(fromByteString),
    next: next === undefined ? undefined : fromByteString(next),
  };
}

interface Cursor {
  readonly prefix: string;
  readonly after: string;
  /** Keys that start so are not wanted any more. */
  passOver: string | undefined;
}

async function* walk(
  tree: ObjectTree,
  above: string,
  path: string,
  cursor: Cursor,
): AsyncGenerator<string, void, undefined> {
  const entries = await tree.directories.read(path);
  for (let index = firstAfter(entries, above, cursor); index < entries.length; index += 1) {
    const entry = entries[index];
    if (entry === undefined) break;
    const text = above + entry.text;
    if (cursor.passOver !== undefined && text.startsWith(cursor.passOver)) continue;
    if (entry.kind === 'object') {
      if (text > cursor.after && text.startsWith(cursor.prefix)) yield text;
    } else if (mayHold(text, cursor)) {
      yield* walk(tree, text, join(path, entry.name), cursor);
    }
    // Everything from here on comes after the prefix.
    if (text > cursor.prefix && !text.startsWith(cursor.prefix)) break;
  }
}

/** Whether a subtree whose keys all start with `text` can hold a wanted key. */
function mayHold(text: string, { prefix, after }: Cursor): boolean {
  const inPrefix = text.startsWith(prefix) || prefix.startsWith(text);
  return inPrefix && (text > after || after.startsWith(text));
}

/** Skips by binary search what lies before the prefix and before `after`; a page in the middle of 100,000 names begins at once. */
function firstAfter(entries: readonly TreeEntry[], above: string, { prefix, after }: Cursor): number {
  const bound = after > prefix ? after : prefix;
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const entry = entries[middle];
    if (entry !== undefined && liesBefore(above + entry.text, entry.kind, bound)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** A directory that the bound leads into stands before it by name, and holds keys after it. */
const liesBefore = (text: string, kind: TreeEntry['kind'], bound: string): boolean =>
  text < bound && !(kind === 'directory' && bound.startsWith(text));

async function recordsOf(tree: ObjectTree, keys: readonly string[]): Promise<readonly ObjectRecord[]> {
  const records: ObjectRecord[] = [];
  for (let start = 0; start < keys.length; start += readAhead) {
    const batch = keys.slice(start, start + readAhead).map((key) => tree.head(fromByteString(key)));
    for (const record of await Promise.all(batch)) {
      // One that was deleted meanwhile.
      if (record !== undefined) records.push(record);
    }
  }
  return records;
}
