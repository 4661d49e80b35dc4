/** Adds up the events of a pull, layer by layer, to a sentence and a fraction. */
import type { PullProgress } from './executor.js';

export interface PullEvent {
  readonly status?: string;
  readonly id?: string;
  readonly progressDetail?: { readonly current?: number; readonly total?: number };
  /** Comes in an answer that began as a success. */
  readonly error?: string;
}

interface Layer {
  readonly current: number;
  readonly total: number;
  readonly done: boolean;
}

export class PullTally {
  readonly #image: string;
  readonly #layers = new Map<string, Layer>();

  constructor(image: string) {
    this.#image = image;
  }

  add(event: PullEvent): void {
    const { id, status } = event;
    if (id === undefined || status === undefined) return;
    const layer = this.#layers.get(id) ?? { current: 0, total: 0, done: false };
    if (status === 'Pulling fs layer' || status === 'Waiting') this.#layers.set(id, layer);
    else if (status === 'Downloading') {
      const { current = layer.current, total = layer.total } = event.progressDetail ?? {};
      this.#layers.set(id, { current, total, done: false });
    } else if (status === 'Download complete' || status === 'Extracting') {
      this.#layers.set(id, { ...layer, current: layer.total });
    } else if (status === 'Pull complete' || status === 'Already exists') {
      this.#layers.set(id, { ...layer, current: layer.total, done: true });
    }
  }

  get progress(): PullProgress {
    const layers = [...this.#layers.values()];
    if (layers.length === 0) return { activity: `pulling ${this.#image}` };
    const done = layers.filter((layer) => layer.done).length;
    const activity = `pulling ${this.#image}: ${done} of ${layers.length} layers`;
    const total = layers.reduce((sum, layer) => sum + layer.total, 0);
    // Sizes are known only once a layer's download begins: a fraction of a part would run backwards.
    if (total === 0 || layers.some((layer) => layer.total === 0 && !layer.done)) return { activity };
    return { activity, fraction: layers.reduce((sum, layer) => sum + layer.current, 0) / total };
  }
}
