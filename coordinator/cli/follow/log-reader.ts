/**
 * Pieces of logs as they arrive, to each step's bytes exactly once and in order: overlaps (a piece sent again after a
 * reconnect) are trimmed by offset, and where bytes are missing it says how many.
 */
export interface LogPiece {
  readonly stage: number;
  readonly title: string;
  readonly attempt: number;
  readonly step: number;
  readonly stepName: string;
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly at: string;
  /** Set by the coordinator where bytes are missing for good: a sentence. */
  readonly missing: string;
}

export type LogRead =
  | { readonly kind: 'bytes'; readonly piece: LogPiece }
  | { readonly kind: 'missing'; readonly piece: LogPiece; readonly message: string };

export interface LogReader {
  take(piece: LogPiece): readonly LogRead[];
}

/** `fromStart`: a step's first piece must begin at 0, otherwise its beginning is missing (not with `--tail`). */
export function createLogReader(options: { readonly fromStart: boolean }): LogReader {
  const reached = new Map<string, number>();
  return {
    take(piece) {
      const key = `${piece.stage}/${piece.attempt}/${piece.step}`;
      const expected = reached.get(key) ?? (options.fromStart ? 0 : piece.offset);
      const end = piece.offset + piece.bytes.length;
      const reads: LogRead[] = [];
      if (piece.missing !== '') reads.push({ kind: 'missing', piece, message: piece.missing });
      else if (piece.offset > expected) {
        reads.push({
          kind: 'missing',
          piece,
          message: `bytes ${expected} to ${piece.offset - 1} are missing`,
        });
      }
      reached.set(key, Math.max(expected, end));
      const fresh = piece.bytes.subarray(Math.min(piece.bytes.length, Math.max(0, expected - piece.offset)));
      if (fresh.length > 0) {
        reads.push({ kind: 'bytes', piece: { ...piece, offset: end - fresh.length, bytes: fresh } });
      }
      return reads;
    },
  };
}
