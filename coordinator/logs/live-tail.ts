/**
 * The newest chunks of one attempt that this process had acknowledged, for those who follow the attempt here. Reading them
 * back from NATS cost the server and this process as much again as storing them did.
 *
 *     stored: … 7 9 12 | 15 16 18      known after 12; a reader that has seen 9 reads on from NATS
 *                 base ┘
 *
 * Sequences are the stream's and have holes (other attempts), so a tail can never tell that a chunk is missing which
 * another coordinator stored: its reader must, by the offsets.
 */
import type { StoredChunk } from './live-log.js';

export interface TailChunk {
  readonly sequence: number;
  readonly chunk: StoredChunk;
}

/** Of at most 64 KiB each: a reader may be 8 MB behind before it has to go to NATS. */
const maxChunks = 128;

export class LiveTail {
  #chunks: TailChunk[] = [];
  /** All that this process stored after this sequence is here; undefined before the first chunk. */
  #base: number | undefined;
  readonly #waiting = new Set<() => void>();

  /** The chunk is durable. Chunks come in the order of their acknowledgements. */
  add(sequence: number, chunk: StoredChunk): void {
    const last = this.#chunks.at(-1)?.sequence ?? this.#base;
    if (last !== undefined && sequence <= last) this.forget();
    if (this.#base === undefined) this.#base = sequence;
    else this.#chunks.push({ sequence, chunk });
    if (this.#chunks.length > maxChunks) this.#base = this.#chunks.shift()?.sequence;
    this.#wake();
  }

  /** Whether a chunk was stored is not known: only NATS can say what follows. */
  forget(): void {
    this.#chunks = [];
    this.#base = undefined;
    this.#wake();
  }

  /** What was stored after this sequence, empty if nothing was; undefined when that is not known here. */
  after(sequence: number): readonly TailChunk[] | undefined {
    if (this.#base === undefined || sequence < this.#base) return undefined;
    const first = this.#chunks.findIndex((each) => each.sequence > sequence);
    return first < 0 ? [] : this.#chunks.slice(first);
  }

  /** Resolves with true at the next change, with false after `timeoutMs` or once the signal aborts. */
  changed(timeoutMs: number, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return Promise.resolve(false);
    return new Promise((resolve) => {
      const settle = (isChanged: boolean): void => {
        clearTimeout(timer);
        this.#waiting.delete(onChange);
        signal.removeEventListener('abort', onAbort);
        resolve(isChanged);
      };
      const onChange = (): void => settle(true);
      const onAbort = (): void => settle(false);
      const timer = setTimeout(onAbort, timeoutMs);
      this.#waiting.add(onChange);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }
}

/** The tails of the attempts that somebody follows. */
export class LiveTails {
  readonly #open = new Map<string, { readonly tail: LiveTail; readers: number }>();

  /** Undefined while nobody follows that attempt. */
  get(subject: string): LiveTail | undefined {
    return this.#open.get(subject)?.tail;
  }

  /** Call `close` as often. */
  open(subject: string): LiveTail {
    const entry = this.#open.get(subject) ?? { tail: new LiveTail(), readers: 0 };
    entry.readers += 1;
    this.#open.set(subject, entry);
    return entry.tail;
  }

  close(subject: string): void {
    const entry = this.#open.get(subject);
    if (entry === undefined) return;
    entry.readers -= 1;
    if (entry.readers === 0) this.#open.delete(subject);
  }
}
