/** Following a stage's log over its attempts until the stage has ended and every byte was given. */
import type { Event } from '../../shared/model/event.js';
import type { AttemptRef, Token } from '../../shared/model/ids.js';
import { isEnded, type AttemptView, type StageView } from '../../shared/model/run.js';
import type { AttemptResult } from '../history/record.js';
import { liveLog } from '../logs/attempt-log.js';
import {
  cursorsFor,
  named,
  remainingLog,
  type Cursors,
  type LogQuery,
  type NamedPiece,
} from './log-pieces.js';
import { findRun } from './run-lookup.js';
import type { Services } from './services.js';

/** An attempt that was given to its end. A lost one may come back, with the same token. */
interface Followed {
  readonly token: Token;
  readonly lost: boolean;
  readonly cursors: Cursors;
}

/**
 * After an attempt's end all of its log is in LOGS or in storage. When LOGS gives nothing for so long, the rest is in
 * storage: LOGS was purged, or never took it.
 */
const quietMs = 1_000;

export async function* followStage(
  services: Services,
  query: LogQuery,
  number: number,
  wanted: ReadonlySet<number>,
  signal: AbortSignal,
): AsyncGenerator<NamedPiece> {
  let followed: Followed | undefined;
  for (;;) {
    const next = await nextAttempt(services, query, number, followed, signal);
    if (next === undefined) return;
    const { stage, attempt, result } = next;
    const cursors =
      followed?.token === attempt.token ? followed.cursors : cursorsFor(result, query.tailBytes);
    const ref: AttemptRef = { run: query.run, stage: number, attempt: attempt.attempt };
    const lost = yield* followAttempt(
      services,
      { ref, token: attempt.token, stage, wanted, cursors },
      signal,
    );
    followed = { token: attempt.token, lost, cursors };
  }
}

interface Following {
  readonly ref: AttemptRef;
  readonly token: Token;
  readonly stage: StageView;
  readonly wanted: ReadonlySet<number>;
  readonly cursors: Cursors;
}

/** Returns whether the attempt was lost. */
async function* followAttempt(
  services: Services,
  what: Following,
  signal: AbortSignal,
): AsyncGenerator<NamedPiece, boolean> {
  const { ref, stage, wanted, cursors } = what;
  const over = new AbortController();
  const following = AbortSignal.any([signal, over.signal]);
  let end: AttemptEnd | undefined;
  const failures: Error[] = [];
  let isWaiting = true;
  let quiet: NodeJS.Timeout | undefined;
  const restIsElsewhere = (): void => {
    clearTimeout(quiet);
    if (isWaiting && end !== undefined) quiet = setTimeout(() => over.abort(), quietMs);
  };
  const look = async (): Promise<void> => {
    end = await endOf(services, what);
    if (isComplete(end, cursors)) over.abort();
    else restIsElsewhere();
  };
  const stop = services.events.listen(ref.run, ({ event }) => {
    if (!concerns(event, ref.stage)) return;
    if (event.kind === 'AttemptReported' && event.report.kind !== 'AttemptFinished') return;
    look().catch((error: unknown) => {
      failures.push(error instanceof Error ? error : new Error('a look failed', { cause: error }));
      over.abort();
    });
  });
  try {
    await look();
    // Nothing more comes of an attempt that has ended: it is read, not followed.
    if (end === undefined) {
      for await (const piece of liveLog(services.liveLog, ref, cursors, {
        follow: true,
        signal: following,
      })) {
        isWaiting = false;
        clearTimeout(quiet);
        // After a gap the agent sends the missing piece again; when it does not, storage has it.
        if (!('gap' in piece) && wanted.has(piece.step)) yield named(piece, stage, ref.attempt);
        if (isComplete(end, cursors)) break;
        isWaiting = true;
        restIsElsewhere();
      }
    }
  } finally {
    stop();
    clearTimeout(quiet);
    over.abort();
  }
  const [failure] = failures;
  if (failure !== undefined) throw failure;
  if (signal.aborted) return false;
  const found = await find(services, what);
  if (!isComplete(found.end, cursors) || found.end?.kind === 'lost') {
    const rest = { ref: found.result?.from ?? ref, result: found.result, cursors, wanted };
    for await (const piece of remainingLog(services, rest, signal)) yield named(piece, stage, ref.attempt);
  }
  return found.end?.kind !== 'finished';
}

const concerns = (event: Event, stage: number): boolean => !('stage' in event) || event.stage === stage;

/** The attempt to follow next, once there is one; undefined when none can come any more. */
async function nextAttempt(
  services: Services,
  query: LogQuery,
  number: number,
  followed: Followed | undefined,
  signal: AbortSignal,
): Promise<
  | { readonly stage: StageView; readonly attempt: AttemptView; readonly result: AttemptResult | undefined }
  | undefined
> {
  for (;;) {
    let wake: () => void = () => undefined;
    const changed = new Promise<void>((resolve) => (wake = resolve));
    const stop = services.events.listen(query.run, ({ event }) => {
      if (concerns(event, number)) wake();
    });
    signal.addEventListener('abort', wake, { once: true });
    try {
      const { view, results } = await findRun(services, query.run);
      const stage = view.stages.find((one) => one.number === number);
      if (stage === undefined || signal.aborted) return undefined;
      const attempt = choose(stage, query.attempt, followed);
      if (attempt !== undefined) {
        const result = results.find((one) => one.stage === number && one.attempt === attempt.attempt);
        return { stage, attempt, result };
      }
      if (isEnded(stage.status) || isOver(stage, query.attempt, followed)) return undefined;
      await changed;
    } finally {
      stop();
      signal.removeEventListener('abort', wake);
    }
  }
}

/**
 * First the latest one, then each with a newer token: a lease that was returned gives its number to the next. A lost
 * one that came back is gone on with.
 */
function choose(stage: StageView, wanted: number, followed: Followed | undefined): AttemptView | undefined {
  const attempts = stage.attempts.filter((one) => wanted === 0 || one.attempt === wanted);
  if (followed === undefined) return attempts.at(-1);
  return (
    attempts.find((one) => one.token > followed.token) ??
    attempts.find((one) => one.token === followed.token && followed.lost && one.status !== 'lost')
  );
}

/** Whoever asked for one attempt waits for no other: it ended by itself, or was overtaken. */
function isOver(stage: StageView, wanted: number, followed: Followed | undefined): boolean {
  if (wanted === 0) return false;
  return followed?.lost === false || stage.attempts.some((one) => one.attempt > wanted);
}

/** How an attempt's log ends: after these bytes, or wherever a lost attempt got to. */
type AttemptEnd =
  { readonly kind: 'lost' } | { readonly kind: 'finished'; readonly logs: AttemptResult['logs'] };

interface FoundAttempt {
  /** Undefined while it goes on. */
  readonly end: AttemptEnd | undefined;
  readonly result: AttemptResult | undefined;
}

const endOf = async (services: Services, what: Following): Promise<AttemptEnd | undefined> =>
  (await find(services, what)).end;

async function find(services: Services, { ref, token }: Following): Promise<FoundAttempt> {
  const { view, results } = await findRun(services, ref.run);
  const stage = view.stages.find((one) => one.number === ref.stage);
  const attempt = stage?.attempts.find((one) => one.token === token);
  // A lease that was returned is not there any more.
  if (attempt === undefined) return { end: { kind: 'lost' }, result: undefined };
  const result = results.find((one) => one.stage === ref.stage && one.attempt === ref.attempt);
  if (attempt.status === 'lost') return { end: { kind: 'lost' }, result };
  if (attempt.status === 'leased' || attempt.status === 'running') return { end: undefined, result };
  return { end: { kind: 'finished', logs: result?.logs ?? [] }, result };
}

function isComplete(end: AttemptEnd | undefined, cursors: Cursors): boolean {
  if (end === undefined) return false;
  if (end.kind === 'lost') return true;
  return end.logs.every((log) => (cursors.get(log.step)?.offset ?? 0) >= log.bytes);
}
