/**
 * Keeps the promise that readers of LOGS build on: what lies beyond a gap comes again after it. Appends are pipelined
 * and each is repeated by its caller when it was not stored; so behind a piece that failed others may have been stored
 * already. They are not acknowledged (their callers repeat them too) until the gap is closed from its start on, piece by
 * piece in order.
 *
 *     stored: a b . d e        c failed: d and e count as failed
 *     stored: a b . d e c d e
 */
export interface Piece {
  /** Names the attempt and step. */
  readonly log: string;
  readonly offset: number;
  readonly end: number;
}

interface Gap {
  /** Where the next piece must begin, or before. */
  from: number;
  /** Pieces up to here have been refused: closed when `from` gets there. */
  until: number;
  triedAt: number;
}

/** A gap that nobody tries to close any more is its agent's no longer: the link broke, and it resumed elsewhere. */
const abandonedMs = 30_000;

export class LogOrder {
  readonly #gaps = new Map<string, Gap>();
  readonly #before = new Map<string, Promise<unknown>>();

  /**
   * Settles outcomes of one log in the order of the calls. `store` must publish before it returns its promise. Resolves
   * with undefined when the piece counts as stored, else with why not.
   */
  async append(
    piece: Piece,
    store: () => Promise<string | undefined>,
    now: () => number,
  ): Promise<string | undefined> {
    const before = this.#before.get(piece.log);
    const gap = this.#gaps.get(piece.log);
    if (gap !== undefined && piece.offset <= gap.from) gap.triedAt = now();
    const stored = store();
    const mine = before === undefined ? stored : before.then(() => stored);
    this.#before.set(piece.log, mine);
    const problem = await mine;
    if (this.#before.get(piece.log) === mine) this.#before.delete(piece.log);
    return this.#settle(piece, problem, now());
  }

  /** Nothing more comes of these logs. */
  forget(isGone: (log: string) => boolean): void {
    for (const log of this.#gaps.keys()) if (isGone(log)) this.#gaps.delete(log);
  }

  #settle({ log, offset, end }: Piece, problem: string | undefined, now: number): string | undefined {
    const gap = this.#gaps.get(log);
    if (problem !== undefined) {
      if (gap === undefined) this.#gaps.set(log, { from: offset, until: end, triedAt: now });
      else {
        gap.from = Math.min(gap.from, offset);
        gap.until = Math.max(gap.until, end);
      }
      return problem;
    }
    if (gap === undefined) return undefined;
    if (offset > gap.from) {
      if (now - gap.triedAt > abandonedMs) {
        this.#gaps.delete(log);
        return undefined;
      }
      gap.until = Math.max(gap.until, end);
      return 'a piece before it is not stored yet';
    }
    gap.from = Math.max(gap.from, end);
    if (gap.from >= gap.until) this.#gaps.delete(log);
    return undefined;
  }
}
