import { Heap } from './heap.js';

/** One time per key at which to look at it again. Looking too early is harmless, so times may be set carelessly. */
export class Timers<K> {
  readonly #due = new Map<K, number>();
  readonly #heap = new Heap<K>((a, b) => (this.#due.get(a) ?? 0) < (this.#due.get(b) ?? 0));

  /** Monotonic ms of the first, or undefined without one. */
  get nextMs(): number | undefined {
    const first = this.#heap.peek();
    return first === undefined ? undefined : this.#due.get(first);
  }

  set(key: K, dueMs: number): void {
    if (this.#due.get(key) === dueMs) return;
    this.#due.set(key, dueMs);
    this.#heap.update(key);
  }

  has(key: K): boolean {
    return this.#due.has(key);
  }

  delete(key: K): void {
    if (this.#heap.delete(key)) this.#due.delete(key);
  }

  /** Takes out one key whose time has come. */
  takeDue(nowMs: number): K | undefined {
    const first = this.#heap.peek();
    if (first === undefined || (this.#due.get(first) ?? 0) > nowMs) return undefined;
    this.delete(first);
    return first;
  }
}
