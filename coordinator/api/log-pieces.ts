/** One attempt's log from where a reader stands to where it ends now: out of LOGS, then out of storage. */
import type { AttemptRef, RunId } from '../../shared/model/ids.js';
import type { StageView } from '../../shared/model/run.js';
import type { AttemptResult } from '../history/record.js';
import { StepCursor, archivedLog, liveLog, type LogPiece } from '../logs/attempt-log.js';
import type { Services } from './services.js';

export interface LogQuery {
  readonly run: RunId;
  readonly stage: string;
  readonly cell: Readonly<Record<string, string>>;
  readonly step: string;
  readonly follow: boolean;
  /** 0: the latest; followed, also those that come after it. */
  readonly attempt: number;
  /** 0: from the start. Where a step's length is not known yet, it is given from the start. */
  readonly tailBytes: number;
}

export interface NamedPiece extends LogPiece {
  readonly stage: number;
  readonly title: string;
  readonly attempt: number;
  readonly stepName: string;
}

/** How far each step was given. */
export type Cursors = Map<number, StepCursor>;

/** Begins near the end of the steps whose length is known. */
export function cursorsFor(result: AttemptResult | undefined, tailBytes: number): Cursors {
  const cursors: Cursors = new Map();
  if (tailBytes === 0) return cursors;
  for (const log of result?.logs ?? []) {
    const cursor = new StepCursor();
    cursor.offset = Math.max(0, log.bytes - tailBytes);
    cursors.set(log.step, cursor);
  }
  return cursors;
}

/** What there is beyond the cursors, which it moves. */
export async function* remainingLog(
  services: Services,
  what: {
    readonly ref: AttemptRef;
    readonly result: AttemptResult | undefined;
    readonly cursors: Cursors;
    readonly wanted: ReadonlySet<number>;
  },
  signal: AbortSignal,
): AsyncGenerator<LogPiece> {
  const { ref, result, cursors, wanted } = what;
  if (result?.archived !== true) {
    for await (const piece of liveLog(services.liveLog, ref, cursors, { follow: false, signal })) {
      // What was refused once comes again after what was stored beyond it; what was purged is in storage.
      if (!('gap' in piece) && wanted.has(piece.step)) yield piece;
    }
  }
  // What LOGS no longer has was archived; what neither has is said.
  for (const { step, bytes } of result?.logs ?? []) {
    const cursor = cursors.get(step) ?? new StepCursor();
    if (!wanted.has(step) || cursor.offset >= bytes) continue;
    yield* archivedLog(services.blobs, { ref, step, from: cursor.offset, bytes }, signal);
    cursor.offset = bytes;
    cursors.set(step, cursor);
  }
}

export function named(piece: LogPiece, stage: StageView, attempt: number): NamedPiece {
  const stepName = stage.steps.find((step) => step.number === piece.step)?.name ?? `step ${piece.step}`;
  return { ...piece, stage: stage.number, title: stage.title, attempt, stepName };
}
