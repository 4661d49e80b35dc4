/**
 * Who may touch one thing when: readers together, writers alone, in the order they came. A reader that comes behind a
 * waiting writer waits too, so that writers are not starved.
 */
export class Turns {
  #readers = 0;
  #writing = false;
  readonly #waiting: { readonly write: boolean; readonly go: () => void }[] = [];

  /** Whether nobody holds it and nobody waits. */
  get idle(): boolean {
    return this.#readers === 0 && !this.#writing && this.#waiting.length === 0;
  }

  read<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#turn(false, work, signal);
  }

  write<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#turn(true, work, signal);
  }

  async #turn<T>(write: boolean, work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    signal?.throwIfAborted();
    await this.#enter(write, signal);
    try {
      return await work();
    } finally {
      if (write) this.#writing = false;
      else this.#readers -= 1;
      this.#admit();
    }
  }

  #enter(write: boolean, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const entry = {
        write,
        go: () => {
          signal?.removeEventListener('abort', leave);
          resolve();
        },
      };
      const leave = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(entry), 1);
        reject(
          signal?.reason instanceof Error ? signal.reason : new Error('aborted', { cause: signal?.reason }),
        );
        this.#admit();
      };
      signal?.addEventListener('abort', leave, { once: true });
      this.#waiting.push(entry);
      this.#admit();
    });
  }

  #admit(): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      if (this.#writing || (first.write && this.#readers > 0)) return;
      this.#waiting.shift();
      if (first.write) this.#writing = true;
      else this.#readers += 1;
      first.go();
    }
  }
}
