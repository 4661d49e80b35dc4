import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createLogReader, type LogPiece } from '../../../coordinator/cli/follow/log-reader.js';

const piece = (offset: number, bytes: Uint8Array | string, more: Partial<LogPiece> = {}): LogPiece => ({
  stage: 1,
  title: 'test',
  attempt: 1,
  step: 1,
  stepName: 'step',
  offset,
  bytes: typeof bytes === 'string' ? Buffer.from(bytes) : bytes,
  at: '',
  missing: '',
  ...more,
});

describe('reading pieces of logs', () => {
  it('gives every byte once and in order, however often and however overlapping it is sent', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 100 }),
        fc.array(fc.tuple(fc.nat(100), fc.nat(30)), { maxLength: 30 }),
        (log, moves) => {
          const reader = createLogReader({ fromStart: true });
          const got: number[] = [];
          let reached = 0;
          // Like a link that reconnects: each piece begins at or before where the last one ended.
          for (const [back, length] of [...moves, [100, 0] as const]) {
            const start = Math.max(0, reached - back);
            const end = length === 0 ? log.length : Math.min(log.length, start + length);
            for (const read of reader.take(piece(start, log.subarray(start, end)))) {
              expect(read.kind).toBe('bytes');
              expect(read.piece.offset).toBe(got.length);
              got.push(...read.piece.bytes);
            }
            reached = Math.max(reached, end);
          }
          expect(Uint8Array.from(got)).toEqual(log);
        },
      ),
    );
  });

  it('says what is missing, and goes on behind it', () => {
    const reader = createLogReader({ fromStart: true });
    reader.take(piece(0, 'abc'));
    const reads = reader.take(piece(10, 'xyz'));
    expect(
      reads.map((read) =>
        read.kind === 'missing' ? read.message : Buffer.from(read.piece.bytes).toString(),
      ),
    ).toEqual(['bytes 3 to 9 are missing', 'xyz']);
  });

  it('repeats what the coordinator says is missing for good', () => {
    const reader = createLogReader({ fromStart: true });
    expect(reader.take(piece(0, '', { missing: 'incomplete after byte 0' }))).toMatchObject([
      { kind: 'missing', message: 'incomplete after byte 0' },
    ]);
  });

  it('keeps steps apart, and takes the first piece of a tail where it is', () => {
    const reader = createLogReader({ fromStart: false });
    expect(reader.take(piece(500, 'tail'))).toMatchObject([{ kind: 'bytes' }]);
    expect(reader.take(piece(7, 'other', { step: 2 }))).toMatchObject([
      { kind: 'bytes', piece: { offset: 7 } },
    ]);
  });

  it('misses the beginning of a whole log that starts later', () => {
    const reader = createLogReader({ fromStart: true });
    expect(reader.take(piece(5, 'x'))[0]).toMatchObject({
      kind: 'missing',
      message: 'bytes 0 to 4 are missing',
    });
  });
});
