/** What agents say while something takes long: the last note of each stage, shown live and never kept. */
import { Listeners } from '../../shared/async/listeners.js';
import { attemptKey, type AttemptRef, type RunId } from '../../shared/model/ids.js';

export interface ProgressNote {
  readonly ref: AttemptRef;
  readonly activity: string;
  readonly fraction?: number;
  readonly at: number;
}

export type ProgressListener = (note: ProgressNote) => void;

export class ProgressBoard {
  readonly #notes = new Map<RunId, Map<number, ProgressNote>>();
  readonly #listeners = new Listeners<RunId, ProgressNote>();

  put(note: ProgressNote): void {
    const notes = this.#notes.get(note.ref.run) ?? new Map<number, ProgressNote>();
    notes.set(note.ref.stage, note);
    this.#notes.set(note.ref.run, notes);
    this.#listeners.tell(note.ref.run, note);
  }

  /** The latest note of an attempt, for `why`. */
  latest(ref: AttemptRef): ProgressNote | undefined {
    const note = this.#notes.get(ref.run)?.get(ref.stage);
    return note !== undefined && attemptKey(note.ref) === attemptKey(ref) ? note : undefined;
  }

  listen(run: RunId, listener: ProgressListener): () => void {
    return this.#listeners.add(run, listener);
  }

  forget(run: RunId): void {
    this.#notes.delete(run);
  }
}
