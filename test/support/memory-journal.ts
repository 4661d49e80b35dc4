/** The journal in memory, at the port: what a simulation writes to. Several writers share one `MemoryStore`. */
import {
  JournalError,
  maxEntryBytes,
  type AppendResult,
  type Journal,
} from '../../coordinator/journal/journal.js';
import type { Entry } from '../../shared/model/event.js';

export class MemoryStore {
  /** As JSON, as a real store has it: nobody shares an object with a reader. */
  readonly entries: string[] = [];
}

/** What happens to an append: a test or a seed decides. `lost`: stored, and the answer never comes. */
export type Fate = 'stored' | 'lost' | 'dropped';

export class MemoryJournal implements Journal {
  readonly #store: MemoryStore;
  readonly #fate: () => Fate;
  #broken = new AbortController();

  constructor(store: MemoryStore, fate: () => Fate = () => 'stored') {
    this.#store = store;
    this.#fate = fate;
  }

  get disconnected(): AbortSignal {
    return this.#broken.signal;
  }

  disconnect(): void {
    this.#broken.abort(new Error('the connection broke'));
  }

  reconnect(): void {
    this.#broken = new AbortController();
  }

  async replay(after: number, onEntry: (sequence: number, entry: Entry) => void): Promise<number> {
    await Promise.resolve();
    const last = this.#store.entries.length;
    if (last < after)
      throw new JournalError(`the journal ends at ${last}, but entry ${after} was known to be there`);
    for (let sequence = after + 1; sequence <= last; sequence++) {
      // Only `append` below writes here.
      onEntry(sequence, JSON.parse(this.#store.entries[sequence - 1] ?? '') as Entry);
    }
    return last;
  }

  async append(entry: Entry, expectedLast: number): Promise<AppendResult> {
    const text = JSON.stringify(entry);
    if (Buffer.byteLength(text) > maxEntryBytes) throw new JournalError('the entry is too large');
    await Promise.resolve();
    if (this.#broken.signal.aborted) return { kind: 'unknown', message: 'disconnected' };
    const fate = this.#fate();
    if (fate === 'dropped') return { kind: 'unknown', message: 'dropped' };
    if (this.#store.entries.length !== expectedLast)
      return { kind: 'refused', message: `wrong last sequence: ${this.#store.entries.length}` };
    this.#store.entries.push(text);
    return fate === 'lost'
      ? { kind: 'unknown', message: 'the answer was lost' }
      : { kind: 'stored', sequence: this.#store.entries.length };
  }
}
