import type { Path } from './located.js';

/** A step that stands for an invalid one, so that those behind it keep their numbers. */
const placeholder = { run: ':' };

/** What is left of a stage that is none: its name, because others may need it. */
const emptyStage = {};

/**
 * The value without its invalid parts: the key at the end of each path, or the key or step around it where the rest
 * would be no use without.
 */
export function without(value: unknown, cuts: readonly Path[]): unknown {
  const root = new Cuts();
  for (const path of cuts) {
    const isStage = path.length === 2 && path[0] === 'stages';
    root.add(cutAt(path), isStage ? emptyStage : undefined);
  }
  return root.applyTo(value);
}

/** How much around an invalid part goes with it. */
function cutAt(path: Path): Path {
  const [top, , part, , key] = path;
  if (top !== 'stages') {
    const isMap = top === 'env' || ((top === 'on' || top === 'notify') && typeof path[1] === 'string');
    return path.slice(0, isMap ? 2 : 1);
  }
  switch (part) {
    case 'env':
      return path.slice(0, 4);
    case 'steps':
    case 'services':
    case 'artifacts':
      if (typeof key !== 'string' || isRequired(part, key)) return path.slice(0, 4);
      return path.slice(0, key === 'env' ? 6 : 5);
    default:
      return path.slice(0, 3);
  }
}

const isRequired = (part: 'steps' | 'services' | 'artifacts', key: string): boolean =>
  ({ steps: ['run', 'build'], services: ['image'], artifacts: ['paths'] })[part].includes(key);

/** All cuts below one place, so that the value is walked once, however many there are. */
class Cuts {
  readonly #below = new Map<string, Cuts>();
  /** Set where a path ends: what stands there instead, or undefined for nothing. */
  #end: { readonly instead: unknown } | undefined;

  add([key, ...rest]: Path, instead: unknown): void {
    if (key === undefined) {
      this.#end ??= { instead };
      return;
    }
    const name = String(key);
    const below = this.#below.get(name) ?? new Cuts();
    this.#below.set(name, below);
    below.add(rest, instead);
  }

  applyTo(value: unknown): unknown {
    if (Array.isArray(value)) {
      const items: readonly unknown[] = value;
      return items.map((item, index) => {
        const cuts = this.#below.get(String(index));
        if (cuts === undefined) return item;
        return cuts.#end === undefined ? cuts.applyTo(item) : placeholder;
      });
    }
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).flatMap(([name, item]: [string, unknown]): [string, unknown][] => {
        const cuts = this.#below.get(name);
        if (cuts === undefined) return [[name, item]];
        if (cuts.#end === undefined) return [[name, cuts.applyTo(item)]];
        return cuts.#end.instead === undefined ? [] : [[name, cuts.#end.instead]];
      }),
    );
  }
}
