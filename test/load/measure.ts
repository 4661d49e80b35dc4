/** Samples, their quantiles, and the table of ratios that `npm run bench` prints. */
import { loadavg } from 'node:os';

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? NaN;
}

export const median = (values: readonly number[]): number => quantile(values, 0.5);

/** How long `task` takes, ms. */
export async function timed(task: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await task();
  return performance.now() - began;
}

/** Samples by name, in the order in which the names came first. */
export class Samples {
  readonly #all = new Map<string, number[]>();

  add(name: string, value: number): void {
    const values = this.#all.get(name) ?? [];
    values.push(value);
    this.#all.set(name, values);
  }

  async time(name: string, task: () => Promise<unknown>): Promise<void> {
    this.add(name, await timed(task));
  }

  of(name: string): readonly number[] {
    const values = this.#all.get(name);
    if (values === undefined) throw new Error(`nothing was measured as ${name}`);
    return values;
  }

  p50(name: string): number {
    return quantile(this.of(name), 0.5);
  }

  p99(name: string): number {
    return quantile(this.of(name), 0.99);
  }
}

export interface Row {
  readonly what: string;
  readonly measured: string;
  /** What it is compared with, measured in the same run, between the samples of the row. */
  readonly baseline: string;
  readonly ratio: string;
  readonly target: string;
}

/** `74 / 120 ms`: the p99 of few samples is their greatest. */
export const ms = (p50: number, p99?: number): string =>
  p99 === undefined ? `${p50.toFixed(1)} ms` : `${p50.toFixed(1)} / ${p99.toFixed(1)} ms`;

export const times = (value: number): string => `${value.toFixed(2)}×`;

/** Rows as they come, to stderr; all of them as Markdown at the end. */
export class Report {
  readonly #rows: (Row & { readonly load: string })[] = [];

  add(row: Row): void {
    const load = (loadavg()[0] ?? NaN).toFixed(1);
    this.#rows.push({ ...row, load });
    process.stderr.write(
      `${row.what}: ${row.measured}; ${row.baseline}; ${row.ratio}; target ${row.target}; load ${load}\n`,
    );
  }

  markdown(): string {
    const lines = this.#rows.map(({ what, measured, baseline, ratio, target, load }) =>
      [what, measured, baseline, ratio, target, load].map((cell) => cell.replaceAll('|', '\\|')).join(' | '),
    );
    return [
      '| what | measured | baseline | ratio | target | load |',
      '|---|---|---|---|---|---|',
      ...lines.map((line) => `| ${line} |`),
      '',
    ].join('\n');
  }
}
