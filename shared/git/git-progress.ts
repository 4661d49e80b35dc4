/** What git says while something takes long. */
export interface GitProgress {
  /** `Receiving objects`, `Updating files`, `remote: Compressing objects`, … */
  readonly activity: string;
  /** 0..1 where git says it. */
  readonly fraction?: number;
}

const counted = /^((?:remote: )?[A-Z][A-Za-z ]+):\s+(\d+)% \((\d+)\/(\d+)\)/;

/** Reads a line of git's stderr; undefined for what is no progress. */
export function parseProgress(line: string): GitProgress | undefined {
  const match = counted.exec(line);
  if (match?.[1] === undefined) return undefined;
  const done = Number(match[3]);
  const total = Number(match[4]);
  return { activity: match[1], ...(total > 0 ? { fraction: Math.min(1, done / total) } : {}) };
}

/**
 * Cuts stderr into lines (git ends a progress line by `\r`), tells progress from words, and keeps the words: the
 * first 8 KiB and the last 24, because the first error is the cause and the last one is the verdict.
 */
export class StderrReader {
  #head = '';
  #tail = '';
  #rest = '';
  #cut = false;

  constructor(private readonly onProgress: ((progress: GitProgress) => void) | undefined) {}

  push(text: string): void {
    const pieces = (this.#rest + text).split(/[\r\n]/);
    // A line without an end is kept up to a bound; a server may send as many bytes as it likes.
    this.#rest = (pieces.pop() ?? '').slice(0, 8192);
    for (const piece of pieces) this.#line(piece);
  }

  /** All words so far. */
  text(): string {
    if (this.#rest !== '') this.#line(this.#rest);
    this.#rest = '';
    return (this.#cut ? `${this.#head}[…]\n${this.#tail}` : this.#head + this.#tail).trim();
  }

  #line(line: string): void {
    const trimmed = line.trimEnd();
    if (trimmed === '') return;
    const progress = parseProgress(trimmed);
    if (progress !== undefined) {
      this.onProgress?.(progress);
      return;
    }
    const kept = `${trimmed.slice(0, 2048)}\n`;
    if (this.#tail === '' && this.#head.length + kept.length <= 8192) {
      this.#head += kept;
      return;
    }
    this.#tail += kept;
    if (this.#tail.length > 24_576) {
      this.#tail = this.#tail.slice(-24_576);
      this.#cut = true;
    }
  }
}
