import { newsOf } from './news.js';
import { runOutcome } from './ready.js';
import { recordDelayMs } from './retry.js';
import type { RunState } from './state.js';
import type { Turn } from './turn.js';

/** Ends a run whose stages have ended, and asks for its record until it is stored. */
export function lookAtRun(turn: Turn, run: RunState): void {
  const { presence, now } = turn;
  if (run.open > 0) return;
  if (run.ended === undefined) {
    const status = runOutcome(run);
    turn.emit({ kind: 'RunEnded', run: run.run, status, ...newsOf(turn.state, run, status) });
  }
  if (presence.runTimers.has(run.run)) return;
  const tries = (presence.records.get(run.run) ?? 0) + 1;
  presence.records.set(run.run, tries);
  presence.runTimers.set(run.run, now.monotonicMs + recordDelayMs(tries));
  turn.perform({ kind: 'Record', run: run.run });
}
