/** A binary heap that knows where each item is, so that any item can be moved or taken out in O(log n). */
export class Heap<T> {
  readonly #items: T[] = [];
  readonly #places = new Map<T, number>();

  /** `before`: whether the first belongs nearer to the top. It may read what changes, if `update` follows. */
  constructor(readonly before: (a: T, b: T) => boolean) {}

  get size(): number {
    return this.#items.length;
  }

  has(item: T): boolean {
    return this.#places.has(item);
  }

  peek(): T | undefined {
    return this.#items[0];
  }

  /** In no order but that the first is the top. */
  values(): readonly T[] {
    return this.#items;
  }

  /** Adds the item, or moves it to where it belongs now. */
  update(item: T): void {
    let place = this.#places.get(item);
    if (place === undefined) {
      place = this.#items.length;
      this.#items.push(item);
      this.#places.set(item, place);
    }
    this.#sink(this.#rise(place, item), item);
  }

  delete(item: T): boolean {
    const place = this.#places.get(item);
    if (place === undefined) return false;
    this.#places.delete(item);
    const last = this.#items.pop();
    if (last !== undefined && last !== item) this.#sink(this.#rise(place, last), last);
    return true;
  }

  #put(place: number, item: T): void {
    this.#items[place] = item;
    this.#places.set(item, place);
  }

  #rise(from: number, item: T): number {
    let place = from;
    while (place > 0) {
      const above = (place - 1) >> 1;
      const parent = this.#items[above];
      if (parent === undefined || !this.before(item, parent)) break;
      this.#put(place, parent);
      place = above;
    }
    this.#put(place, item);
    return place;
  }

  #sink(from: number, item: T): void {
    let place = from;
    for (;;) {
      let below = 2 * place + 1;
      let child = this.#items[below];
      if (child === undefined) break;
      const other = this.#items[below + 1];
      if (other !== undefined && this.before(other, child)) {
        child = other;
        below += 1;
      }
      if (!this.before(child, item)) break;
      this.#put(place, child);
      place = below;
    }
    this.#put(place, item);
  }
}
