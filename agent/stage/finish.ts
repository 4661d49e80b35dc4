/**
 * The end of an attempt, in the order that makes its report true when it is read:
 *
 *     nothing runs any more ─► artifacts and manifest in storage ─┬─► AttemptFinished
 *     every byte of log acknowledged ─────────────────────────────┘
 *
 * Storage or coordinator away: it waits, and says so; the stage stays `running`.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { backoffMs, type Backoff } from '../../shared/async/backoff.js';
import { BlobError } from '../../shared/blob/blob-error.js';
import { blameOf, type Failure } from '../../shared/model/failure.js';
import type { PlannedArtifact } from '../../shared/model/pipeline.js';
import { ArtifactError } from '../artifacts/artifact-error.js';
import type { Box } from '../executor/executor.js';
import { presignFor, progressOf, report, type AttemptContext } from './context.js';
import type { Outcome } from './attempt-state.js';
import { failureOf } from './failure-of.js';
import { maskedFailure } from './masked.js';
import type { StoredArtifacts } from './tools.js';

/** Storage comes back by itself or by somebody's work: asking twice a minute finds it soon enough. */
const storageBackoff: Backoff = { firstMs: 500, maxMs: 30_000 };

/** Reports the end; throws `Stopped` when the attempt is overtaken or handed over before. */
export async function finish(context: AttemptContext, box: Box | undefined, outcome: Outcome): Promise<void> {
  const { alive } = context.stop;
  const over = new AbortController();
  const signal = AbortSignal.any([alive, over.signal]);
  const storing = storeArtifacts(context, box, outcome, signal);
  const shipping = context.logs.allShipped(signal);
  try {
    const [stored, logs] = await Promise.all([storing, shipping]);
    alive.throwIfAborted();
    const { failure } = stored;
    const end = withArtifacts(
      outcome,
      failure === undefined ? undefined : maskedFailure(failure, context.secrets),
    );
    report(context, {
      kind: 'AttemptFinished',
      ...end,
      ...(stored.manifest === undefined ? {} : { manifest: stored.manifest }),
      logs,
    });
  } catch (error) {
    over.abort(error);
    await Promise.allSettled([storing, shipping]);
    alive.throwIfAborted();
    // A spool that cannot be read: ours, and the stage runs again. What was shipped is named.
    context.tools.log.error(
      { attempt: context.key, err: error },
      'the end of the attempt could not be completed',
    );
    report(context, {
      kind: 'AttemptFinished',
      status: 'failed',
      failure: failureOf(error, context.tools.settings.agentName),
      logs: [...context.record.state.logs.values()].flatMap(({ shipped }) =>
        shipped === undefined ? [] : [shipped],
      ),
    });
  }
}

/** What is wrong with artifacts fails a stage that had succeeded, and explains no other failure. */
function withArtifacts(outcome: Outcome, failure: Failure | undefined): Outcome {
  if (failure === undefined || outcome.status !== 'succeeded') return outcome;
  return { status: blameOf(failure) === 'canceled' ? 'canceled' : 'failed', failure };
}

/** Those that the outcome asks for: after a cancel, or a failure of ours (the stage runs again), none. */
export function artifactsFor(
  outcome: Outcome,
  artifacts: readonly PlannedArtifact[],
): readonly PlannedArtifact[] {
  if (outcome.status === 'succeeded') return artifacts.filter(({ when }) => when !== 'failure');
  if (outcome.failure === undefined || blameOf(outcome.failure) !== 'theirs') return [];
  return artifacts.filter(({ when }) => when !== 'success');
}

async function storeArtifacts(
  context: AttemptContext,
  box: Box | undefined,
  outcome: Outcome,
  signal: AbortSignal,
): Promise<StoredArtifacts> {
  const { record, stop, tools } = context;
  const { assignment, slot } = record.state;
  const artifacts = artifactsFor(outcome, assignment.plan.artifacts);
  if (artifacts.length === 0 || !slot) return {};
  await stopWriters(context, box);
  // A cancel that comes while a success is uploaded still cancels it.
  const until = AbortSignal.any([signal, stop.keeping]);
  const say = progressOf(context);
  // While it is tried again, whoever asks why hears of the storage, not only of what is tried.
  let trouble = '';
  const onProgress = (activity: string): void => say(`${activity}${trouble}`);
  for (let failures = 0; ; failures += 1) {
    signal.throwIfAborted();
    try {
      return await tools.artifacts.store(
        {
          artifacts,
          slot: tools.workspaces.at(context.ref),
          presign: presignFor(context),
          upload: (artifact) => tools.session.upload(context.ref, context.token, artifact),
          onProgress,
        },
        until,
      );
    } catch (error) {
      signal.throwIfAborted();
      if (!isStorageAway(error)) return { failure: failureOf(error, tools.settings.agentName) };
      tools.log.warn({ attempt: context.key, err: error }, 'artifacts could not be stored yet');
      say(`storage is away, trying again: ${error.message}`);
      trouble = ` (storage was away: ${error.message})`;
      await pause(backoffMs(storageBackoff, failures, Math.random()), undefined, { signal: until }).catch(
        () => undefined, // Stopped: the next turn says so.
      );
    }
  }
}

/** Also a refusal: expired URLs are made anew, and what an operator set wrong stays wrong until it is corrected. */
const isStorageAway = (error: unknown): error is BlobError | ArtifactError =>
  (error instanceof BlobError || error instanceof ArtifactError) &&
  error.failure.kind === 'storage-unavailable';

/** Whoever reads the workspace reads one that does not change: the box is frozen, or where that fails, gone. */
async function stopWriters(context: AttemptContext, box: Box | undefined): Promise<void> {
  if (box === undefined) return;
  try {
    await box.freeze();
  } catch (error) {
    context.tools.log.warn(
      { attempt: context.key, err: error },
      'the box could not be frozen and is removed',
    );
    await box.remove();
  }
}
