import type { Diagnostic } from './diagnostic.js';
import { limits } from './limits.js';
import type { Range, SourceText } from './source-text.js';
import { visible } from './words.js';

/** Computed only for what is shown: looking for a similar name costs time. */
type Hint = string | undefined | (() => string | undefined);

interface Finding {
  readonly severity: Diagnostic['severity'];
  readonly range: Range;
  readonly message: string;
  readonly hint: Hint;
}

/**
 * Collects what is wrong with one file. One range carries one error and one warning, the first: the cells of a matrix
 * would say the same of one place 256 times.
 */
export class Findings {
  readonly source: SourceText;
  readonly #found = new Map<string, Finding>();
  #errors = 0;
  #notShown = 0;

  constructor(source: SourceText) {
    this.source = source;
  }

  get errors(): number {
    return this.#errors;
  }

  error(range: Range, message: string, hint?: Hint): void {
    this.#errors++;
    this.#add({ severity: 'error', range, message, hint });
  }

  warn(range: Range, message: string, hint?: Hint): void {
    this.#add({ severity: 'warning', range, message, hint });
  }

  /** In the order of the file. */
  list(): Diagnostic[] {
    const sorted = [...this.#found.values()].sort(
      (a, b) => a.range.start - b.range.start || a.severity.localeCompare(b.severity),
    );
    const diagnostics = sorted.map((one) => this.#diagnostic(one));
    const last = sorted.at(-1);
    if (last !== undefined && this.#notShown > 0) {
      const message = `${this.#notShown} more ${this.#notShown === 1 ? 'problem is' : 'problems are'} not shown`;
      diagnostics.push(this.#diagnostic({ severity: 'error', range: last.range, message, hint: undefined }));
    }
    return diagnostics;
  }

  #add(finding: Finding): void {
    const key = `${finding.severity} ${finding.range.start} ${finding.range.end}`;
    if (this.#found.has(key)) return;
    if (this.#found.size >= limits.diagnostics) {
      this.#notShown++;
      return;
    }
    this.#found.set(key, finding);
  }

  #diagnostic({ severity, range, message, hint }: Finding): Diagnostic {
    const text = typeof hint === 'function' ? hint() : hint;
    return {
      severity,
      // The YAML library's own messages quote the file as it is.
      message: visible(message),
      ...this.source.place(range),
      ...(text === undefined ? {} : { hint: visible(text) }),
    };
  }
}
