/** Logs of a run for people: chosen stages and steps, live or from storage, with or without following. */
import type { LogDigest } from '../../shared/model/event.js';
import type { AttemptRef, RunId } from '../../shared/model/ids.js';
import { isEnded, type StageView } from '../../shared/model/run.js';
import { StepCursor, archivedLog, liveLog, type LogPiece } from '../logs/attempt-log.js';
import type { AttemptResult } from '../history/record.js';
import { findRun, selectStages, selectSteps, type FoundRun } from './run-lookup.js';
import type { Services } from './services.js';

export interface LogQuery {
  readonly run: RunId;
  readonly stage: string;
  readonly cell: Readonly<Record<string, string>>;
  readonly step: string;
  readonly follow: boolean;
  /** 0: the latest. */
  readonly attempt: number;
  /** 0: from the start. */
  readonly tailBytes: number;
}

export interface NamedPiece extends LogPiece {
  readonly stage: number;
  readonly title: string;
  readonly attempt: number;
  readonly stepName: string;
}

/** Stage after stage as the plan numbers them; with `follow`, each until its end. */
export async function* readLogs(
  services: Services,
  query: LogQuery,
  signal: AbortSignal,
): AsyncGenerator<NamedPiece> {
  const found = await findRun(services, query.run);
  const stages = selectStages(found.view, query.stage, query.cell);
  for (const stage of stages) {
    const wanted = new Set(selectSteps(stage, query.step).map((step) => step.number));
    yield* query.follow
      ? followStage(services, query, stage.number, wanted, signal)
      : readStage(services, found, stage, query, wanted, signal);
  }
}

async function* readStage(
  services: Services,
  found: FoundRun,
  stage: StageView,
  query: LogQuery,
  wanted: ReadonlySet<number>,
  signal: AbortSignal,
): AsyncGenerator<NamedPiece> {
  const attempt = query.attempt === 0 ? (stage.attempts.at(-1)?.attempt ?? 0) : query.attempt;
  if (attempt === 0) return;
  const ref: AttemptRef = { run: query.run, stage: stage.number, attempt };
  const result = found.results.find((one) => one.stage === stage.number && one.attempt === attempt);
  for await (const piece of attemptPieces(services, ref, result, query.tailBytes, wanted, signal)) {
    if (wanted.has(piece.step)) yield named(piece, stage, attempt);
  }
}

async function* attemptPieces(
  services: Services,
  ref: AttemptRef,
  result: AttemptResult | undefined,
  tailBytes: number,
  wanted: ReadonlySet<number>,
  signal: AbortSignal,
): AsyncGenerator<LogPiece> {
  const startOf = (bytes: number): number => (tailBytes === 0 ? 0 : Math.max(0, bytes - tailBytes));
  if (result?.archived === true) {
    for (const log of result.logs) {
      if (wanted.has(log.step))
        yield* archivedLog(
          services.blobs,
          { ref, step: log.step, from: startOf(log.bytes), bytes: log.bytes },
          signal,
        );
    }
    return;
  }
  const cursors = new Map<number, StepCursor>();
  for (const log of result?.logs ?? []) {
    const cursor = new StepCursor();
    cursor.offset = startOf(log.bytes);
    cursors.set(log.step, cursor);
  }
  for await (const piece of liveLog(services.liveLog, ref, cursors, { follow: false, signal })) {
    // What was refused once comes again after what was stored beyond it; what was purged is in storage.
    if ('gap' in piece) continue;
    yield piece;
  }
  // What LOGS no longer has was archived; what neither has is said.
  for (const log of result?.logs ?? []) {
    const from = cursors.get(log.step)?.offset ?? 0;
    if (wanted.has(log.step) && from < log.bytes) {
      yield* archivedLog(services.blobs, { ref, step: log.step, from, bytes: log.bytes }, signal);
    }
  }
}

/** Follows one stage over all its attempts until it has ended and every byte was given. */
async function* followStage(
  services: Services,
  query: LogQuery,
  number: number,
  wanted: ReadonlySet<number>,
  signal: AbortSignal,
): AsyncGenerator<NamedPiece> {
  let attempt = query.attempt;
  for (;;) {
    const found = await nextAttempt(services, query.run, number, attempt, signal);
    if (found === undefined) return;
    const { stage } = found;
    attempt = found.attempt;
    const ref: AttemptRef = { run: query.run, stage: number, attempt };
    const cursors = new Map<number, StepCursor>();
    const over = new AbortController();
    const following = AbortSignal.any([signal, over.signal]);
    let end: AttemptEnd | undefined;
    const check = async (): Promise<void> => {
      end = await endOf(services, ref);
      if (isComplete(end, cursors)) over.abort();
    };
    const stop = services.events.listen(query.run, ({ event }) => {
      if (event.kind !== 'AttemptReported' || event.report.kind === 'AttemptFinished') void check();
    });
    try {
      void check();
      for await (const piece of liveLog(services.liveLog, ref, cursors, {
        follow: true,
        signal: following,
      })) {
        if ('gap' in piece) {
          // While the attempt runs the agent sends the missing piece again; afterwards storage has it.
          if (end === undefined) continue;
          break;
        }
        if (wanted.has(piece.step)) yield named(piece, stage, attempt);
        if (isComplete(end, cursors)) break;
      }
    } finally {
      stop();
      over.abort();
    }
    if (signal.aborted) return;
    // A lost attempt's end is known only by reading once more what there is.
    if (end?.kind === 'lost') {
      for await (const piece of liveLog(services.liveLog, ref, cursors, { follow: false, signal })) {
        if ('gap' in piece) continue;
        if (wanted.has(piece.step)) yield named(piece, stage, attempt);
      }
    }
    yield* rest(services, query.run, { stage, attempt, wanted, cursors }, signal);
    if (query.attempt !== 0) return;
  }
}

/** What following did not give: LOGS was purged, or the attempt was lost. */
async function* rest(
  services: Services,
  run: RunId,
  what: {
    readonly stage: StageView;
    readonly attempt: number;
    readonly wanted: ReadonlySet<number>;
    readonly cursors: ReadonlyMap<number, StepCursor>;
  },
  signal: AbortSignal,
): AsyncGenerator<NamedPiece> {
  const { results } = await findRun(services, run);
  const result = results.find((one) => one.stage === what.stage.number && one.attempt === what.attempt);
  const ref: AttemptRef = { run, stage: what.stage.number, attempt: what.attempt };
  for (const log of result?.logs ?? []) {
    const from = what.cursors.get(log.step)?.offset ?? 0;
    if (!what.wanted.has(log.step) || from >= log.bytes) continue;
    for await (const piece of archivedLog(
      services.blobs,
      { ref, step: log.step, from, bytes: log.bytes },
      signal,
    )) {
      yield named(piece, what.stage, what.attempt);
    }
  }
}

/** The attempt after `before`, once there is one; undefined when the stage has ended without another. */
async function nextAttempt(
  services: Services,
  run: RunId,
  number: number,
  before: number,
  signal: AbortSignal,
): Promise<{ readonly stage: StageView; readonly attempt: number } | undefined> {
  for (;;) {
    let wake: () => void = () => undefined;
    const changed = new Promise<void>((resolve) => (wake = resolve));
    const stop = services.events.listen(run, () => wake());
    signal.addEventListener('abort', wake, { once: true });
    try {
      const { view } = await findRun(services, run);
      const stage = view.stages.find((one) => one.number === number);
      if (stage === undefined || signal.aborted) return undefined;
      const next = stage.attempts.find((one) => one.attempt > before);
      if (next !== undefined) return { stage, attempt: next.attempt };
      if (isEnded(stage.status)) return undefined;
      await changed;
    } finally {
      stop();
      signal.removeEventListener('abort', wake);
    }
  }
}

/** How an attempt's log ends: after these bytes, or wherever a lost attempt got to. */
type AttemptEnd =
  { readonly kind: 'lost' } | { readonly kind: 'finished'; readonly logs: readonly LogDigest[] };

async function endOf(services: Services, ref: AttemptRef): Promise<AttemptEnd | undefined> {
  const { view, results } = await findRun(services, ref.run);
  const stage = view.stages.find((one) => one.number === ref.stage);
  const attempt = stage?.attempts.find((one) => one.attempt === ref.attempt);
  if (attempt === undefined || attempt.status === 'lost') return { kind: 'lost' };
  if (attempt.status === 'leased' || attempt.status === 'running') return undefined;
  const result = results.find((one) => one.stage === ref.stage && one.attempt === ref.attempt);
  return { kind: 'finished', logs: result?.logs ?? [] };
}

function isComplete(end: AttemptEnd | undefined, cursors: ReadonlyMap<number, StepCursor>): boolean {
  if (end === undefined) return false;
  if (end.kind === 'lost') return true;
  return end.logs.every((log) => (cursors.get(log.step)?.offset ?? 0) >= log.bytes);
}

function named(piece: LogPiece, stage: StageView, attempt: number): NamedPiece {
  const stepName = stage.steps.find((step) => step.number === piece.step)?.name ?? `step ${piece.step}`;
  return { ...piece, stage: stage.number, title: stage.title, attempt, stepName };
}
