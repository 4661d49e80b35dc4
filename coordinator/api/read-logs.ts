/** Logs of a run for people: chosen stages and steps, live or from storage, with or without following. */
import type { AttemptRef } from '../../shared/model/ids.js';
import type { StageView } from '../../shared/model/run.js';
import { followStage } from './follow-logs.js';
import { cursorsFor, named, remainingLog, type LogQuery, type NamedPiece } from './log-pieces.js';
import { findRun, selectStages, selectSteps, type FoundRun } from './run-lookup.js';
import type { Services } from './services.js';

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
  const what = { ref: result?.from ?? ref, result, wanted, cursors: cursorsFor(result, query.tailBytes) };
  for await (const piece of remainingLog(services, what, signal)) yield named(piece, stage, attempt);
}
