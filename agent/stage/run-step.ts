/**
 * One step, from its handle to its end.
 *
 *     (prepared) ─► begun ──► running ──► ended
 *                     │          │ time-out, cancel, agent-stopped: TERM, grace, KILL
 *                     │          │ overtaken, handed over: this process looks away
 *                     └─ after a restart: resumed with the handle
 */
import type { Failure } from '../../shared/model/failure.js';
import type { PlannedStep } from '../../shared/model/pipeline.js';
import type { Box, RunningStep, StepResult } from '../executor/executor.js';
import { report, type AttemptContext } from './context.js';
import { failureOf } from './failure-of.js';
import type { StepState } from './attempt-state.js';
import { maskedFailure, maskedResult } from './masked.js';
import { untilAborted } from './step-logs.js';
import { workOf, type StepWork } from './step-work.js';
import { failureOfStop, type StopReason } from './stop.js';

/** Runs the step, or goes on with one that was begun. Returns its failure; throws `Stopped` when it is left alone. */
export async function runStep(
  context: AttemptContext,
  box: Box,
  step: PlannedStep,
  begun: StepState | undefined,
): Promise<Failure | undefined> {
  const { tools } = context;
  const work = await workOf(context, box, step);
  const startedAt = performance.now() - (begun === undefined ? 0 : Math.max(0, tools.now() - begun.begunAt));
  let result: StepResult | undefined;
  let failure: Failure | undefined;
  try {
    const running =
      begun === undefined ? await start(context, step.number, work) : await work.resume(begun.handle);
    context.logs.open(step.number, running.log);
    const ended = await follow(context, step, running, startedAt);
    result = maskedResult(ended.result, context.secrets);
    for (const { image, digest } of result.built?.tags ?? []) {
      report(context, { kind: 'ImageResolved', image, digest, built: true });
    }
    failure = ended.failure === undefined ? undefined : maskedFailure(ended.failure, context.secrets);
    context.logs.ended(step.number, result.logBytes);
  } catch (error) {
    // Not begun: there is nothing to report of this step.
    if (context.stop.alive.aborted || !context.record.state.steps.has(step.number)) throw error;
    failure = maskedFailure(failureOf(error, tools.settings.agentName), context.secrets);
    tools.log.warn({ attempt: context.key, step: step.number, err: error }, 'the step could not be run');
  }
  const durationMs = Math.round(performance.now() - startedAt);
  for (const note of result === undefined ? [] : notesOf(result)) {
    tools.log.warn({ attempt: context.key, step: step.number }, note);
    tools.session.progress({
      ref: context.ref,
      token: context.token,
      activity: `step ${step.number}: ${note}`,
    });
  }
  reportEnd(context, step.number, { result, failure, durationMs });
  return failure;
}

const notesOf = ({ incomplete, notes }: StepResult): readonly string[] => [
  ...(incomplete === undefined ? [] : [incomplete]),
  ...(notes ?? []),
];

/** The step that ran when its box was lost has ended with that. */
export function reportLostStep(context: AttemptContext, failure: Failure): void {
  for (const [step, { begunAt, ended }] of context.record.state.steps) {
    if (ended !== undefined) continue;
    const durationMs = Math.max(0, context.tools.now() - begunAt);
    reportEnd(context, step, { result: undefined, failure, durationMs });
  }
}

function reportEnd(
  { record, outbox, tools }: AttemptContext,
  step: number,
  end: {
    readonly result: StepResult | undefined;
    readonly failure: Failure | undefined;
    readonly durationMs: number;
  },
): void {
  const { result, durationMs } = end;
  const failure = end.failure === undefined ? {} : { failure: end.failure };
  const exitCode = result?.exit.kind === 'exited' ? { exitCode: result.exit.exitCode } : {};
  const written = record.append({
    kind: 'ended',
    step,
    result: result ?? { exit: { kind: 'terminated' }, logBytes: 0 },
    durationMs,
    ...failure,
  });
  const incomplete = result?.incomplete === undefined ? {} : { incomplete: result.incomplete };
  outbox.append(
    { kind: 'StepFinished', step, ...exitCode, durationMs, ...failure, ...incomplete },
    tools.now(),
  );
  // Whatever is written next, the next step or the outcome, waits for the same write and meets the same error; and a process
  // that takes over without this line finds the end in the box.
  written.catch(() => undefined);
}

/** Opens the log of a step that ended under a former process, if not all of it was shipped. */
export async function reopenLog(
  context: AttemptContext,
  box: Box,
  step: PlannedStep,
  state: StepState,
): Promise<void> {
  if (state.ended === undefined || context.record.state.logs.get(step.number)?.shipped !== undefined) return;
  const work = await workOf(context, box, step);
  context.logs.open(step.number, await work.reopen(state.handle));
  context.logs.ended(step.number, state.ended.result.logBytes);
}

async function start(context: AttemptContext, step: number, work: StepWork): Promise<RunningStep> {
  const handle = await work.prepare();
  context.stop.wanted.throwIfAborted();
  const written = context.record.append({ kind: 'begun', step, at: context.tools.now(), handle });
  report(context, { kind: 'StepStarted', step, shell: work.shell });
  await written;
  return work.start(handle);
}

interface Ended {
  readonly result: StepResult;
  readonly failure: Failure | undefined;
}

async function follow(
  context: AttemptContext,
  step: PlannedStep,
  running: RunningStep,
  startedAt: number,
): Promise<Ended> {
  const { stop, tools } = context;
  const limit = { reached: false };
  const end = (): void => {
    // It settles `finished`, where a broken box is seen.
    running.terminate(tools.settings.graceMs).catch(() => undefined);
  };
  const onStop = (): void => {
    if (!stop.alive.aborted) end();
  };
  const timer = stepTimer(step, startedAt, () => {
    limit.reached = true;
    end();
  });
  stop.wanted.addEventListener('abort', onStop, { once: true });
  if (stop.wanted.aborted) onStop();
  try {
    const result = await untilAborted(running.finished, stop.alive);
    return {
      result,
      failure: failureOfStep(result, step, limit.reached ? undefined : stop.reason, tools.settings.agentName),
    };
  } finally {
    clearTimeout(timer);
    stop.wanted.removeEventListener('abort', onStop);
  }
}

/** Node's timers end at 2^31 ms, 24 days: longer than any stage may run. */
const longestTimerMs = 2 ** 31 - 1;

function stepTimer(step: PlannedStep, startedAt: number, onTimeout: () => void): NodeJS.Timeout | undefined {
  if (step.timeoutMs === undefined) return undefined;
  const restMs = Math.max(0, startedAt + step.timeoutMs - performance.now());
  return setTimeout(onTimeout, Math.min(restMs, longestTimerMs));
}

/** `stopped`: why the step was ended from outside; absent where its own time-out did it. */
export function failureOfStep(
  result: StepResult,
  step: PlannedStep,
  stopped: StopReason | undefined,
  agent: string,
): Failure | undefined {
  const { exit } = result;
  switch (exit.kind) {
    case 'exited':
      return exit.exitCode === 0
        ? undefined
        : { kind: 'exit-code', step: step.number, exitCode: exit.exitCode };
    case 'terminated':
      return (
        (stopped === undefined ? undefined : failureOfStop(stopped, agent)) ?? {
          kind: 'timed-out',
          step: step.number,
          limitMs: step.timeoutMs ?? 0,
        }
      );
    case 'failed':
      return exit.failure;
  }
}
