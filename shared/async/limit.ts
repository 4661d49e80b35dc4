/** At most `width` tasks at once, first come first served. */
export class Limit {
  readonly #width: number;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(width: number) {
    this.#width = width;
  }

  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#width) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running += 1;
    try {
      return await task();
    } finally {
      const next = this.#waiting.shift();
      // The place goes straight to the next in line, so that nobody can slip in between.
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }
}
