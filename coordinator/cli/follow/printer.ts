/**
 * Events of a run to lines for people: one line for each thing that happened. It remembers what it has said, so a
 * `state` (the first message, or after the stream was interrupted) prints only what is new, and an event that comes
 * twice is silent.
 */
import { blameOf, describeFailure, type Failure } from '../../../shared/model/failure.js';
import { shortRunId } from '../../../shared/model/ids.js';
import {
  isEnded,
  type RunStatus,
  type RunView,
  type StageStatus,
  type StageView,
  type StepView,
} from '../../../shared/model/run.js';
import { count, duration, padEnd, shorten } from '../format.js';
import { colors, type Colors } from '../output.js';
import { printable } from '../terminal-text.js';
import type { FollowEvent } from './watch-event.js';

export interface PrintedLine {
  readonly text: string;
  /** The end of this step's log is wanted below the line. */
  readonly tail?: { readonly stage: number; readonly attempt: number; readonly step: number };
}

export interface FollowPrinter {
  print(event: FollowEvent): readonly PrintedLine[];
}

interface StageMemory {
  title: string;
  status: StageStatus;
  waitingFor: string;
  startedAt: number | undefined;
  attempt: number;
  agentName: string;
  /** Of the latest attempt: step number -> last status said. */
  readonly steps: Map<number, StepView['status']>;
  stepCount: number;
  activity: string;
  activityAt: number;
  activityFraction: number;
}

/** Progress of one activity is said again after so long, or when a quarter more is done. */
const progressEveryMs = 10_000;
const progressStep = 0.25;
const maxTitle = 32;

export function createFollowPrinter(options: { readonly color: boolean }): FollowPrinter {
  const paint = colors(options.color);
  const stages = new Map<number, StageMemory>();
  let submittedAt: number | undefined;
  let width = 4;
  let runStatus: RunStatus | undefined;

  const memoryOf = (number: number, title: string): StageMemory => {
    const known = stages.get(number);
    if (known !== undefined) return known;
    const fresh: StageMemory = {
      title: shorten(printable(title), maxTitle),
      status: 'pending',
      waitingFor: '',
      startedAt: undefined,
      attempt: 0,
      agentName: '',
      steps: new Map(),
      stepCount: 0,
      activity: '',
      activityAt: -Infinity,
      activityFraction: 0,
    };
    width = Math.max(width, fresh.title.length);
    stages.set(number, fresh);
    return fresh;
  };

  const clock = (at: string): string => {
    const since = submittedAt === undefined ? Number.NaN : Date.parse(at) - submittedAt;
    return paint.dim((Number.isNaN(since) ? '' : duration(since)).padStart(9));
  };
  const line = (at: string, memory: StageMemory, text: string): PrintedLine => ({
    text: `${clock(at)}  ${padEnd(paint.bold(memory.title), width)}  ${text}`,
  });

  const onState = (at: string, run: RunView): readonly PrintedLine[] => {
    const lines: PrintedLine[] = [];
    for (const stage of run.stages) {
      const memory = memoryOf(stage.number, stage.title);
      memory.stepCount = stage.steps.length;
    }
    if (submittedAt === undefined) {
      submittedAt = Date.parse(run.submittedAt);
      lines.push({ text: headline(run, paint) });
    }
    for (const stage of run.stages) lines.push(...changesOf(at, stage));
    if (isEnded(run.status)) lines.push(...onRun(run.finishedAt ?? at, run.status));
    return lines;
  };

  /** What a state says about a stage, as the events that the reader missed. */
  const changesOf = (at: string, stage: StageView): PrintedLine[] => {
    const memory = memoryOf(stage.number, stage.title);
    const lines: PrintedLine[] = [];
    const last = stage.attempts.at(-1);
    if (last !== undefined) {
      const { attempt, agentName, failure, reason } = last;
      const stamp = {
        sequence: 0,
        stage: stage.number,
        title: stage.title,
        attempt,
        agentName,
        failure,
        reason,
      };
      if (last.startedAt !== null) {
        lines.push(
          ...onAttempt({
            ...stamp,
            at: last.startedAt,
            kind: 'attempt',
            status: 'running',
            reason: null,
            failure: null,
          }),
        );
      }
      for (const step of stage.steps) lines.push(...onStepView(last.startedAt ?? at, stage, attempt, step));
      if (last.finishedAt !== null && last.status === 'lost') {
        lines.push(...onAttempt({ ...stamp, at: last.finishedAt, kind: 'attempt', status: last.status }));
      }
    }
    lines.push(
      ...onStage({
        sequence: 0,
        at: last?.finishedAt ?? at,
        kind: 'stage',
        stage: stage.number,
        title: stage.title,
        status: stage.status,
        failure: stage.failure,
        waitingFor: stage.waitingFor,
      }),
    );
    memory.stepCount = stage.steps.length;
    return lines;
  };

  const onStepView = (
    at: string,
    stage: StageView,
    attempt: number,
    step: StepView,
  ): readonly PrintedLine[] => {
    if (step.status === 'pending') return [];
    const started = step.startedAt === null ? Number.NaN : Date.parse(step.startedAt);
    const finished = step.finishedAt === null ? Number.NaN : Date.parse(step.finishedAt);
    const durationMs = Number.isNaN(finished - started) ? 0 : finished - started;
    return onStep({
      sequence: 0,
      at: step.finishedAt ?? step.startedAt ?? at,
      kind: 'step',
      stage: stage.number,
      title: stage.title,
      attempt,
      step: step.number,
      name: step.name,
      status: step.status,
      exitCode: step.exitCode,
      durationMs,
      failure:
        stage.failure !== null && 'step' in stage.failure && stage.failure.step === step.number
          ? stage.failure
          : null,
    });
  };

  const onStage = (event: Extract<FollowEvent, { kind: 'stage' }>): readonly PrintedLine[] => {
    const memory = memoryOf(event.stage, event.title);
    const before = memory.status;
    memory.status = event.status;
    const took =
      memory.startedAt === undefined ? '' : ` in ${duration(Date.parse(event.at) - memory.startedAt)}`;
    switch (event.status) {
      case 'pending':
      case 'running':
        // The attempt says that it runs, and where.
        return [];
      case 'waiting': {
        const why = printable(event.waitingFor.join('; '));
        if (why === '' || why === memory.waitingFor) return [];
        memory.waitingFor = why;
        return [line(event.at, memory, paint.dim(`waiting: ${why}`))];
      }
      case 'succeeded':
        return before === 'succeeded' ? [] : [line(event.at, memory, paint.green(`✓ succeeded${took}`))];
      case 'failed':
        if (before === 'failed') return [];
        return [line(event.at, memory, paint.red(`✗ failed${took}: ${failureText(event.failure)}`))];
      case 'canceled':
        return before === 'canceled'
          ? []
          : [
              line(
                event.at,
                memory,
                paint.yellow(`– ${event.failure === null ? 'canceled' : failureText(event.failure)}`),
              ),
            ];
      case 'skipped':
        return before === 'skipped'
          ? []
          : [
              line(
                event.at,
                memory,
                paint.dim(`– skipped${event.failure === null ? '' : `: ${failureText(event.failure)}`}`),
              ),
            ];
    }
  };

  const onAttempt = (event: Extract<FollowEvent, { kind: 'attempt' }>): readonly PrintedLine[] => {
    const memory = memoryOf(event.stage, event.title);
    if (event.attempt < memory.attempt) return [];
    if (event.attempt > memory.attempt) {
      memory.attempt = event.attempt;
      memory.agentName = '';
      memory.steps.clear();
    }
    switch (event.status) {
      case 'leased':
        return [];
      case 'running': {
        if (memory.agentName !== '') return [];
        memory.agentName = printable(event.agentName);
        memory.startedAt = Date.parse(event.at);
        const again = event.attempt > 1 ? `, attempt ${event.attempt}` : '';
        return [line(event.at, memory, `started on ${memory.agentName}${again}`)];
      }
      case 'lost':
        return [line(event.at, memory, paint.yellow(`! attempt ${event.attempt}: ${attemptReason(event)}`))];
      case 'failed':
        // Tried again by itself: the stage's own end says the rest.
        return event.failure !== null && blameOf(event.failure) === 'ours'
          ? [line(event.at, memory, paint.yellow(`! attempt ${event.attempt}: ${attemptReason(event)}`))]
          : [];
      case 'succeeded':
      case 'canceled':
        return [];
    }
  };

  const onStep = (event: Extract<FollowEvent, { kind: 'step' }>): readonly PrintedLine[] => {
    const memory = memoryOf(event.stage, event.title);
    if (event.attempt < memory.attempt) return [];
    if (event.attempt > memory.attempt) {
      memory.attempt = event.attempt;
      memory.steps.clear();
    }
    const before = memory.steps.get(event.step);
    if (before === event.status || (before !== undefined && before !== 'running' && before !== 'pending'))
      return [];
    memory.steps.set(event.step, event.status);
    const of = memory.stepCount > 1 ? `${event.step}/${memory.stepCount} ` : '';
    const name = `${of}${shorten(printable(event.name), 72)}`;
    const took = duration(event.durationMs);
    switch (event.status) {
      case 'pending':
      case 'skipped':
        return [];
      case 'running':
        return [line(event.at, memory, paint.cyan(`▸ ${name}`))];
      case 'succeeded':
        return [line(event.at, memory, `${paint.green('✓')} ${name}  ${paint.dim(took)}`)];
      case 'canceled':
        return [line(event.at, memory, `${paint.yellow('–')} ${name}  canceled after ${took}`)];
      case 'failed': {
        const why =
          event.failure === null || event.failure.kind === 'exit-code'
            ? `exit code ${event.exitCode ?? '?'}`
            : failureText(event.failure);
        const { text } = line(event.at, memory, `${paint.red(`✗ ${name}`)}  ${why} after ${took}`);
        return [{ text, tail: { stage: event.stage, attempt: event.attempt, step: event.step } }];
      }
    }
  };

  const onProgress = (event: Extract<FollowEvent, { kind: 'progress' }>): readonly PrintedLine[] => {
    const memory = memoryOf(event.stage, event.title);
    const at = Date.parse(event.at);
    const fraction = event.fraction ?? 0;
    const isNew = event.activity !== memory.activity;
    const due =
      at - memory.activityAt >= progressEveryMs || fraction - memory.activityFraction >= progressStep;
    if (event.activity === '' || (!isNew && !due)) return [];
    memory.activity = event.activity;
    memory.activityAt = at;
    memory.activityFraction = fraction;
    const percent = event.fraction === null ? '' : ` ${Math.floor(event.fraction * 100)} %`;
    return [line(event.at, memory, paint.dim(`… ${printable(event.activity)}${percent}`))];
  };

  const onRun = (at: string, status: RunStatus): readonly PrintedLine[] => {
    if (runStatus === status || !isEnded(status)) return [];
    runStatus = status;
    const counts = new Map<StageStatus, number>();
    for (const stage of stages.values()) counts.set(stage.status, (counts.get(stage.status) ?? 0) + 1);
    const parts = (['succeeded', 'failed', 'canceled', 'skipped'] as const).flatMap((one) => {
      const n = counts.get(one) ?? 0;
      return n === 0 ? [] : [`${n} ${one}`];
    });
    const color = status === 'succeeded' ? paint.green : status === 'failed' ? paint.red : paint.yellow;
    const summary = parts.length === 0 ? '' : `  (${count(stages.size, 'stage')}: ${parts.join(', ')})`;
    return [{ text: `${clock(at)}  ${color(`run ${status}`)}${summary}` }];
  };

  return {
    print(event) {
      switch (event.kind) {
        case 'state':
          return onState(event.at, event.run);
        case 'stage':
          return onStage(event);
        case 'attempt':
          return onAttempt(event);
        case 'step':
          return onStep(event);
        case 'progress':
          return onProgress(event);
        case 'image': {
          const at = clock(event.at);
          return [
            {
              text: `${at}  ${paint.dim(`image ${printable(event.image)} is ${shorten(printable(event.digest), 26)}`)}`,
            },
          ];
        }
        case 'run':
          return onRun(event.at, event.status);
      }
    },
  };
}

const failureText = (failure: Failure | null): string =>
  failure === null ? 'no reason was given' : printable(describeFailure(failure));

const attemptReason = (event: {
  readonly reason: string | null;
  readonly failure: Failure | null;
}): string => (event.failure === null ? printable(event.reason ?? 'lost') : failureText(event.failure));

/** `abcd2345  python-web-app  main  1a2b3c4 Fix the parser  (5 stages)` */
export function headline(run: RunView, paint: Colors): string {
  const where = run.branch === null ? '' : `  ${printable(run.branch)}`;
  const title = run.title === '' ? '' : ` ${shorten(printable(run.title), 60)}`;
  return `run ${paint.bold(shortRunId(run.run))}  ${printable(run.project)}${where}  ${paint.dim(`${run.commit.slice(0, 8)}${title}`)}  (${count(run.stages.length, 'stage')})`;
}
