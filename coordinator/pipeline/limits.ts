/**
 * Bounds of a pipeline file. Whoever may push may write one, and the coordinator compiles it in its event loop, so
 * each bound is also a bound of time: the worst of 60 hostile files took 0.9 s.
 */
export const limits = {
  fileBytes: 1024 * 1024,
  /** Lexical tokens of YAML; a block of script is one. Parsing costs up to 4 microseconds each. */
  tokens: 100_000,
  /** Lists and maps within each other, also by way of aliases. */
  depth: 64,
  /** Values after aliases are expanded. */
  values: 100_000,
  matrixCells: 256,
  /** After the matrix. */
  stages: 1000,
  /** A compiled stage as JSON: an assignment, which carries one, has at most twice of that. */
  stageBytes: 256 * 1024,
  /** All compiled stages as JSON: what the plan store takes. */
  planBytes: 15 * 1024 * 1024,
  /** All outlines as JSON: they are one event in one entry of the journal, which has at most 512 KiB. */
  outlineBytes: 400 * 1024,
  /** More than that is counted, not shown. */
  diagnostics: 100,
  timeoutMs: 7 * 24 * 60 * 60 * 1000,
} as const;

export const defaults = { timeoutMs: 60 * 60 * 1000, maxAttempts: 3 } as const;

const encoder = new TextEncoder();

export const utf8Bytes = (text: string): number => encoder.encode(text).length;
export const jsonBytes = (value: unknown): number => utf8Bytes(JSON.stringify(value));

export function showBytes(bytes: number): string {
  return bytes >= 1024 * 1024 ? `${(bytes / 1024 / 1024).toFixed(1)} MiB` : `${Math.ceil(bytes / 1024)} KiB`;
}
