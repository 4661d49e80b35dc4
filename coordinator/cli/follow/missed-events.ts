import type { RunView, StageView, StepView } from '../../../shared/model/run.js';
import { isEnded } from '../../../shared/model/run.js';
import type { FollowEvent } from './watch-event.js';

/**
 * What must have happened for the run to be as it is, as events. After an interruption a watcher gets the state and not
 * what it missed; a printer that knows what it has said takes the rest of these.
 */
export function missedEvents(run: RunView, at: string): readonly FollowEvent[] {
  // Each stage's are in order already, and a stable sort leaves them so.
  const events = run.stages
    .flatMap((stage) => ofStage(stage, at))
    .sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
  if (isEnded(run.status)) {
    events.push({ sequence: 0, at: run.finishedAt ?? at, kind: 'run', status: run.status });
  }
  return events;
}

function ofStage(stage: StageView, at: string): FollowEvent[] {
  const events: FollowEvent[] = [];
  const of = { sequence: 0, stage: stage.number, title: stage.title } as const;
  const last = stage.attempts.at(-1);
  for (const attempt of stage.attempts) {
    const { attempt: number, agentName, status, reason, failure, startedAt, finishedAt } = attempt;
    const common = { ...of, kind: 'attempt', attempt: number, agentName } as const;
    if (startedAt !== null) {
      events.push({ ...common, at: startedAt, status: 'running', reason: null, failure: null });
    }
    // Steps are of the latest attempt only.
    if (attempt === last) {
      events.push(...stage.steps.flatMap((step) => ofStep(stage, number, step, startedAt ?? at)));
    }
    if (finishedAt !== null) events.push({ ...common, at: finishedAt, status, reason, failure });
  }
  const ended = { ...of, at: last?.finishedAt ?? at, kind: 'stage', failure: stage.failure } as const;
  const { status, waitingFor, whySkipped } = stage;
  events.push({ ...ended, status, waitingFor, whySkipped });
  return events;
}

function ofStep(stage: StageView, attempt: number, step: StepView, at: string): FollowEvent[] {
  if (step.status === 'pending' || step.status === 'skipped') return [];
  const started = step.startedAt === null ? Number.NaN : Date.parse(step.startedAt);
  const finished = step.finishedAt === null ? Number.NaN : Date.parse(step.finishedAt);
  const { failure } = stage;
  return [
    {
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
      durationMs: Number.isNaN(finished - started) ? 0 : finished - started,
      failure: failure !== null && 'step' in failure && failure.step === step.number ? failure : null,
    },
  ];
}
