/** What is wrong, or doubtful, in a pipeline file: where it is, what it says, and what to do. */
export interface Diagnostic {
  readonly severity: 'error' | 'warning';
  /** One sentence without a full stop: what was found and what was expected. */
  readonly message: string;
  /** From 1. */
  readonly line: number;
  /** From 1, in characters (code points). */
  readonly column: number;
  /** The column behind the last marked character; at least `column + 1`. */
  readonly endColumn: number;
  /** The lines of the file that show it, the marked one last. */
  readonly excerpt: readonly ExcerptLine[];
  /** What to do about it. */
  readonly hint?: string;
}

/** A line, or of a long one what is around the mark. */
export interface ExcerptLine {
  readonly line: number;
  /** As in the file: `renderDiagnostics` makes it safe to print. */
  readonly text: string;
  /** How many characters of the line are left out before the text. */
  readonly skipped: number;
  /** Whether something is left out behind it. */
  readonly cut: boolean;
}
