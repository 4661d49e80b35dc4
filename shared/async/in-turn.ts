/** Work on one key is done one after the other, on different keys at once. */
export class InTurn<K> {
  readonly #last = new Map<K, Promise<unknown>>();

  async do<T>(key: K, work: () => Promise<T>): Promise<T> {
    // How the work before ended is its own caller's to hear.
    const mine = (this.#last.get(key) ?? Promise.resolve()).then(work, work);
    this.#last.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.#last.get(key) === mine) this.#last.delete(key);
    }
  }
}
