/**
 * The recipe of one attempt, in order. Everything before the end may be left by an exception: it becomes the outcome,
 * and the end is the same for all outcomes (`finish.ts`). What is done is in the record, so a process that takes over
 * begins where the former one stopped:
 *
 *     nothing ready      ─► prepare anew, in another slot
 *     box adopted        ─► the step that runs is followed, the next ones are run
 *     outcome known      ─► logs, artifacts and the report of the end again
 *     end reported       ─► `attempt.ts` waits for its acknowledgement
 */
import { blameOf, type Failure } from '../../shared/model/failure.js';
import type { Box } from '../executor/executor.js';
import { report, type AttemptContext } from './context.js';
import type { Outcome } from './attempt-state.js';
import { failureOf } from './failure-of.js';
import { finish } from './finish.js';
import { prepare } from './prepare.js';
import { reopenLog, reportLostStep, runStep } from './run-step.js';
import { failureOfStop } from './stop.js';
import { StageError } from './tools.js';

/** The box of an attempt, for whoever removes it in the end. */
export interface BoxHolder {
  box?: Box;
}

/**
 * Runs the attempt until its end is reported (not yet acknowledged). `holder.box` is the adopted box, if there was one,
 * and whatever box is there afterwards. Throws `Stopped` when the attempt is overtaken or handed over.
 */
export async function runStage(context: AttemptContext, holder: BoxHolder): Promise<void> {
  const { record } = context;
  reportStart(context);
  const known = record.state.outcome;
  if (known !== undefined) {
    await finish(context, holder.box, await takeUp(context, holder, known));
    return;
  }
  const outcome = await untilOutcome(context, holder);
  await record.append({ kind: 'outcome', ...outcome }).catch((error: unknown) => {
    // A full disk. The next process would only come to the same outcome again, from the steps that have ended.
    context.tools.log.warn({ attempt: context.key, err: error }, 'the outcome could not be written down');
  });
  await finish(context, holder.box, outcome);
}

/** `AttemptStarted` comes before all other reports. */
const reportOfStart = 1;

function reportStart(context: AttemptContext): void {
  if (context.outbox.lastNumber > 0) return;
  const { plan } = context.record.state.assignment;
  const { executor, settings } = context.tools;
  const ignored = plan.image !== undefined && settings.ignoreImage;
  report(context, {
    kind: 'AttemptStarted',
    executor: executor.kind,
    ...(ignored ? { note: `image ${plan.image} is ignored: the steps run on the agent's own machine` } : {}),
  });
}

async function untilOutcome(context: AttemptContext, holder: BoxHolder): Promise<Outcome> {
  const { stop, tools } = context;
  const clock = stageTimer(context);
  try {
    const failure = await runSteps(context, holder);
    return outcomeOf(failure ?? stopFailure(context));
  } catch (error) {
    // Overtaken or handed over: there is no outcome.
    stop.alive.throwIfAborted();
    const failure = stopFailure(context) ?? failureOf(error, tools.settings.agentName);
    tools.log.warn({ attempt: context.key, err: error, failure }, 'the attempt failed');
    return outcomeOf(failure);
  } finally {
    clearTimeout(clock);
  }
}

/** The failure of the first step that failed; later ones are not run. */
async function runSteps(context: AttemptContext, holder: BoxHolder): Promise<Failure | undefined> {
  const { record, stop } = context;
  const box = holder.box ?? (await newBox(context));
  holder.box = box;
  await knowSecrets(context);
  await mayBegin(context);
  for (const step of record.state.assignment.plan.steps) {
    if (step.skipped === true) continue;
    const state = record.state.steps.get(step.number);
    if (state?.ended !== undefined) {
      await reopenLog(context, box, step, state);
      if (state.ended.failure !== undefined) return state.ended.failure;
      continue;
    }
    if (state === undefined) stop.wanted.throwIfAborted();
    const failure = await runStep(context, box, step, state);
    if (failure !== undefined) return failure;
  }
  return undefined;
}

/**
 * A deployment happens once: its first step waits until it is durable at the coordinator that this attempt began, for then no
 * other ever will.
 */
async function mayBegin({ record, outbox, stop }: AttemptContext): Promise<void> {
  if (record.state.assignment.plan.environment === undefined) return;
  await outbox.whenAcknowledged(reportOfStart, stop.wanted);
}

/**
 * A process that takes over asks again. A step that runs goes on meanwhile; what its stage names and does not get any more
 * (or a stop of the attempt) ends it, for its log could not be shown.
 */
async function knowSecrets(context: AttemptContext): Promise<void> {
  try {
    await context.secrets.get(context.stop.wanted);
  } catch (error) {
    context.stop.alive.throwIfAborted();
    reportLostStep(context, stopFailure(context) ?? failureOf(error, context.tools.settings.agentName));
    throw error;
  }
}

async function newBox(context: AttemptContext): Promise<Box> {
  const { record, stop } = context;
  if (record.state.steps.size === 0) {
    stop.wanted.throwIfAborted();
    return prepare(context);
  }
  // Steps have run, and running them twice is not ours to decide.
  const { agentName } = context.tools.settings;
  const failure: Failure = {
    kind: 'box-broken',
    message: `the box of the attempt was gone when agent ${agentName} came back`,
  };
  reportLostStep(context, failure);
  throw new StageError(failure);
}

/** Ships what the former process did not; a success whose log is lost is none. */
async function takeUp(context: AttemptContext, holder: BoxHolder, outcome: Outcome): Promise<Outcome> {
  try {
    return await takeUpLogs(context, holder, outcome);
  } catch (error) {
    context.stop.alive.throwIfAborted();
    return outcomeOf(failureOf(error, context.tools.settings.agentName));
  }
}

async function takeUpLogs(context: AttemptContext, { box }: BoxHolder, outcome: Outcome): Promise<Outcome> {
  await context.secrets.get(context.stop.alive);
  const { assignment, logs } = context.record.state;
  for (const step of assignment.plan.steps) {
    const state = context.record.state.steps.get(step.number);
    if (state?.ended === undefined || logs.get(step.number)?.shipped !== undefined) continue;
    if (box !== undefined) {
      await reopenLog(context, box, step, state);
    } else if (state.ended.result.logBytes > 0 && outcome.status === 'succeeded') {
      const { agentName } = context.tools.settings;
      const message = `the box of the attempt was gone when agent ${agentName} came back, and with it a part of the log of step ${step.number}`;
      return { status: 'failed', failure: { kind: 'box-broken', message } };
    }
  }
  return outcome;
}

/** The limit counts from the acceptance, over restarts of the agent, and ends with the last step. */
function stageTimer(context: AttemptContext): NodeJS.Timeout {
  const { assignment, acceptedAt } = context.record.state;
  const limitMs = assignment.plan.timeoutMs;
  const restMs = Math.max(0, acceptedAt + limitMs - context.tools.now());
  return setTimeout(() => context.stop.stop({ kind: 'timed-out', limitMs }), Math.min(restMs, 2 ** 31 - 1));
}

function stopFailure({ stop, tools }: AttemptContext): Failure | undefined {
  return stop.reason === undefined ? undefined : failureOfStop(stop.reason, tools.settings.agentName);
}

function outcomeOf(failure: Failure | undefined): Outcome {
  if (failure === undefined) return { status: 'succeeded' };
  return { status: blameOf(failure) === 'canceled' ? 'canceled' : 'failed', failure };
}
