/** Who wants to hear of a thing: listeners by key, called in the order they came. */
export class Listeners<K, T> {
  readonly #listeners = new Map<K, Set<(value: T) => void>>();

  /** Calls back for every later value, until the returned function is called. The listener must not throw. */
  add(key: K, listener: (value: T) => void): () => void {
    const listeners = this.#listeners.get(key) ?? new Set();
    listeners.add(listener);
    this.#listeners.set(key, listeners);
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#listeners.get(key) === listeners) this.#listeners.delete(key);
    };
  }

  tell(key: K, value: T): void {
    for (const listener of this.#listeners.get(key) ?? []) listener(value);
  }
}
