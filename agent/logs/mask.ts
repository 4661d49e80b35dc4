/**
 * Finds secrets in a stream of bytes and replaces each byte of theirs by `*`, so that every offset stays what it was.
 *
 *   push: [ held back │ new bytes ] ──► certain: masked and given on │ may begin a secret: held back
 *
 * What is held back is the shortest end of the stream that may be the beginning of a form, so at most the longest form
 * less one byte, and mostly nothing. Whether a byte is masked depends only on the forms that cover it: a stream that begins
 * `lookBehind` bytes earlier than where it is needed gives exactly what one from the start would give.
 *
 * The search is Wu and Manber's (A fast algorithm for multi-pattern searching, 1994): a window as long as the shortest
 * form (8 bytes at most), moved on by what its last two bytes allow. MB per second of one processor, text like that of a build, 64 KiB at a
 * time, Node 20, beside `Buffer.indexOf` for each form: one token 840 (1,600), 10 tokens 700 (290), a PEM key of 52 lines 1,200
 * (180), 100 tokens 520 (19). An Aho-Corasick table of one value of 32 KiB would take a gigabyte.
 */
import { minFormBytes, secretForms, shortestLine, type SecretForm } from './secret-forms.js';

const star = 0x2a;
const lineFeed = 0x0a;
const carriageReturn = 0x0d;
/** Longer ones move on farther, but a form that may be folded has as many windows as bytes in them, twice. */
const maxWindow = 8;

export interface MaskStream {
  /** Takes the bytes over. Returns those, of former pushes too, that are certain; may be empty. */
  push(bytes: Buffer): Buffer;
  /** Nothing comes any more: all that was held back. */
  flush(): Buffer;
}

export interface Masker {
  stream(): MaskStream;
  /** So many bytes before the first that counts must be pushed (and their output thrown away), where there are so many. */
  readonly lookBehind: number;
  /** A whole text at once. */
  text(text: string): string;
}

/** Undefined: there is nothing to mask, and nothing need be done to any log. */
export function createMasker(values: Iterable<string>): Masker | undefined {
  const forms = secretForms(values);
  if (forms.length === 0) return undefined;
  const search = new Search(forms);
  return {
    stream: () => new Stream(search),
    lookBehind: search.longest - 1,
    text: (text) => {
      const stream = new Stream(search);
      return Buffer.concat([stream.push(Buffer.from(text)), stream.flush()]).toString();
    },
  };
}

interface Found {
  /** Start and end of what is to be masked, one after the other, in order, not overlapping. */
  readonly spans: readonly number[];
  /** From here on the text may be the beginning of a form. */
  readonly held: number;
}

class Stream implements MaskStream {
  readonly #search: Search;
  #held: Buffer = Buffer.alloc(0);
  /** So many bytes at the beginning of what is held back belong to an occurrence that began before. */
  #covered = 0;

  constructor(search: Search) {
    this.#search = search;
  }

  push(bytes: Buffer): Buffer {
    if (bytes.length === 0) return bytes;
    const text = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    const { spans, held } = this.#search.scan(text);
    return this.#release(text, spans, held);
  }

  flush(): Buffer {
    const text = this.#held;
    return this.#release(text, this.#search.scan(text).spans, text.length);
  }

  #release(text: Buffer, spans: readonly number[], held: number): Buffer {
    // A copy: what is masked below may be the middle of an occurrence that is not complete yet.
    this.#held = Buffer.from(text.subarray(held));
    text.fill(star, 0, this.#covered);
    let covered = this.#covered;
    for (let index = 0; index < spans.length; index += 2) {
      const start = spans[index] ?? 0;
      const end = spans[index + 1] ?? 0;
      if (start < held) covered = Math.max(covered, end);
      text.fill(star, start, end);
    }
    this.#covered = Math.max(0, covered - held);
    return text.subarray(0, held);
  }
}

interface Entry {
  /** First bytes of the form, with a line end somewhere if it may be folded. */
  readonly window: Buffer;
  readonly form: SecretForm;
}

class Search {
  /** The longest stretch that an occurrence may take. */
  readonly longest: number;
  readonly #window: number;
  /** By the last two bytes of the window: how far it may move on; 0: look at `#entries`. */
  readonly #shift: Uint8Array;
  readonly #entries = new Map<number, Entry[]>();
  /** Whether any window begins with these two bytes: most candidates end here. */
  readonly #firsts = new Uint8Array(65_536);
  /** Beginnings shorter than the window. */
  readonly #beginnings = new Set<string>();

  constructor(forms: readonly SecretForm[]) {
    const shortest = Math.min(...forms.map(({ bytes }) => bytes.length));
    this.#window = Math.min(Math.max(shortest, minFormBytes), maxWindow);
    this.longest = Math.max(
      ...forms.map(
        ({ bytes, folded }) => bytes.length + (folded ? 2 * Math.ceil(bytes.length / shortestLine) : 0),
      ),
    );
    this.#shift = new Uint8Array(65_536).fill(this.#window - 1);
    for (const form of forms)
      for (const window of windowsOf(form, this.#window)) this.#index({ form, window });
  }

  #index(entry: Entry): void {
    const { window } = entry;
    this.#firsts[blockAt(window, 1)] = 1;
    for (let end = 1; end < window.length; end += 1) {
      const block = blockAt(window, end);
      this.#shift[block] = Math.min(this.#shift[block] ?? 0, window.length - 1 - end);
      this.#beginnings.add(window.toString('latin1', 0, end));
    }
    const block = blockAt(window, window.length - 1);
    const entries = this.#entries.get(block) ?? [];
    entries.push(entry);
    this.#entries.set(block, entries);
  }

  scan(text: Buffer): Found {
    const spans: number[] = [];
    const shift = this.#shift;
    const firsts = this.#firsts;
    const last = this.#window - 1;
    let held = text.length;
    for (let end = last; end < text.length;) {
      // Both are inside of the text, and so is the block in the table.
      const step = shift[(text[end - 1] as number) | ((text[end] as number) << 8)] as number;
      if (step > 0) {
        end += step;
        continue;
      }
      const start = end - last;
      if (firsts[(text[start] as number) | ((text[start + 1] as number) << 8)] === 1) {
        for (const { window, form } of this.#entries.get(blockAt(text, end)) ?? []) {
          if (!begins(text, start, window)) continue;
          const stop = form.folded ? foldedEnd(text, start, form.bytes) : plainEnd(text, start, form.bytes);
          if (stop === 'open') held = Math.min(held, start);
          else if (stop !== undefined) cover(spans, start, stop);
        }
      }
      end += 1;
    }
    for (let start = Math.max(0, text.length - last); start < held; start += 1) {
      if (this.#beginnings.has(text.toString('latin1', start))) held = start;
    }
    return { spans, held };
  }
}

const blockAt = (bytes: Buffer, end: number): number => (bytes[end - 1] ?? 0) | ((bytes[end] ?? 0) << 8);

function begins(text: Buffer, start: number, window: Buffer): boolean {
  for (let index = 0; index < window.length; index += 1) {
    if (text[start + index] !== window[index]) return false;
  }
  return true;
}

/** All ways in which the first bytes of an occurrence may look: too few for two line ends, which are `shortestLine` apart. */
function windowsOf({ bytes, folded }: SecretForm, length: number): readonly Buffer[] {
  const windows = new Map<string, Buffer>();
  const add = (buffer: Buffer): void => {
    const window = buffer.subarray(0, length);
    windows.set(window.toString('latin1'), window);
  };
  add(bytes);
  if (folded) {
    for (let at = 1; at < Math.min(length, bytes.length); at += 1) {
      for (const lineEnd of ['\n', '\r\n'])
        add(Buffer.concat([bytes.subarray(0, at), Buffer.from(lineEnd), bytes.subarray(at, length)]));
    }
  }
  return [...windows.values()];
}

/** Where the occurrence at `start` ends; `open`: the text ends first; undefined: it is none. */
function plainEnd(text: Buffer, start: number, form: Buffer): number | 'open' | undefined {
  const end = Math.min(start + form.length, text.length);
  if (text.compare(form, 0, end - start, start, end) !== 0) return undefined;
  return end - start < form.length ? 'open' : end;
}

function foldedEnd(text: Buffer, start: number, form: Buffer): number | 'open' | undefined {
  let at = start;
  let sinceLineEnd = shortestLine;
  for (let index = 0; index < form.length; index += 1, sinceLineEnd += 1) {
    if (index > 0 && sinceLineEnd >= shortestLine) {
      const isReturn = text[at] === carriageReturn;
      if (isReturn && at + 1 === text.length) return 'open';
      if (text[at + (isReturn ? 1 : 0)] === lineFeed) {
        at += isReturn ? 2 : 1;
        sinceLineEnd = 0;
      }
    }
    if (at >= text.length) return 'open';
    if (text[at] !== form[index]) return undefined;
    at += 1;
  }
  return at;
}

/** Starts come in order. */
function cover(spans: number[], start: number, end: number): void {
  const before = spans.length === 0 ? -1 : (spans[spans.length - 1] ?? -1);
  if (start <= before) spans[spans.length - 1] = Math.max(before, end);
  else spans.push(start, end);
}
