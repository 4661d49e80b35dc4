/** What people see of runs and agents that are in the state. See `shared/model/run.ts` for the shapes. */
import { describeFailure } from '../../shared/model/failure.js';
import { shortRunId } from '../../shared/model/ids.js';
import { stageTitle } from '../../shared/model/pipeline.js';
import type {
  AgentView,
  AttemptView,
  RunStatus,
  RunSummary,
  RunView,
  StageStatus,
  StageView,
  StepView,
} from '../../shared/model/run.js';
import { whyUnavailable } from './available.js';
import type { Now } from './command.js';
import type { Presence } from './presence.js';
import { reasonSkipped, reasonsToWait } from './reasons.js';
import type { AgentState, AttemptState, RunState, StageState, State, StepState } from './state.js';

/** Without the artifacts, which the state does not hold: `artifacts` is empty. */
export function runView(state: State, presence: Presence, run: RunState, now: Now): RunView {
  const reasons = sharedReasons(state, presence, now);
  return {
    ...runSummary(run),
    stages: run.stages.map((stage) => stageView(stage, reasons(stage))),
    artifacts: [],
  };
}

export function runSummary(run: RunState): RunSummary {
  const { facts } = run;
  return {
    run: run.run,
    status: runStatus(run),
    project: facts.projectName,
    branch: facts.branch ?? null,
    commit: facts.commit,
    title: facts.title,
    author: facts.author ?? null,
    by: facts.by,
    event: facts.event,
    retryOf: run.retryOf ?? null,
    submittedAt: iso(run.acceptedAt),
    startedAt: isoOrNull(run.startedAt),
    finishedAt: isoOrNull(run.ended?.at),
    failure: run.failure ?? null,
    failing: run.ended?.failing ?? null,
  };
}

/** A run that has begun counts as running also while its next stage is on its way to an agent. */
export function runStatus(run: RunState): RunStatus {
  if (run.ended !== undefined) return run.ended.status;
  const isActive = run.stages.some((stage) => {
    const status = stageStatus(stage);
    return status === 'running' || (run.startedAt !== undefined && stage.phase.kind === 'leased');
  });
  return isActive ? 'running' : 'waiting';
}

export function stageStatus({ phase }: StageState): StageStatus {
  switch (phase.kind) {
    case 'pending':
    case 'waiting':
      return phase.kind;
    case 'leased':
      return phase.attempt.phase.kind === 'running' ? 'running' : 'waiting';
    case 'settling':
      return 'running';
    case 'ended':
      return phase.status;
  }
}

/** Stages of a run that wait for the same agents have the same reasons but for their place; the first pays for all. */
function sharedReasons(state: State, presence: Presence, now: Now): (stage: StageState) => readonly string[] {
  const known = new Map<string, readonly string[]>();
  return (stage) => {
    const isPlain =
      stage.phase.kind === 'waiting' && stage.attempts.length === 0 && !presence.rests.has(stage);
    if (!isPlain || stage.canceledBy !== undefined) return reasonsToWait(state, presence, stage, now);
    const key = stage.outline.labels.join('\n');
    const found = known.get(key) ?? reasonsToWait(state, presence, stage, now);
    known.set(key, found);
    return found;
  };
}

export function stageView(stage: StageState, waitingFor: readonly string[]): StageView {
  const { outline, phase } = stage;
  return {
    number: outline.number,
    name: outline.name,
    cell: outline.cell,
    title: stageTitle(outline),
    status: stageStatus(stage),
    allowFailure: outline.allowFailure,
    needs: outline.needs,
    waitingFor,
    failure: phase.kind === 'ended' ? (phase.failure ?? null) : null,
    whySkipped: reasonSkipped(stage) ?? null,
    attempts: stage.attempts.map(attemptView),
    steps: stepViews(stage),
  };
}

function attemptView(attempt: AttemptState): AttemptView {
  const { phase } = attempt;
  const failure = (phase.kind === 'finished' || phase.kind === 'lost' ? phase.failure : undefined) ?? null;
  return {
    attempt: attempt.number,
    agent: attempt.agent,
    agentName: attempt.agentName,
    token: attempt.token,
    status: phase.kind === 'finished' ? phase.status : phase.kind,
    reason: failure === null ? null : describeFailure(failure),
    failure,
    leasedAt: iso(attempt.leasedAt),
    startedAt: isoOrNull(attempt.startedAt),
    finishedAt: phase.kind === 'finished' || phase.kind === 'lost' ? iso(phase.at) : null,
    takenFrom: attempt.from?.run ?? null,
  };
}

function stepViews(stage: StageState): readonly StepView[] {
  const attempt = stage.attempts.at(-1);
  return stage.outline.steps.map((name, index) => {
    const step = attempt?.steps.findLast((other) => other.number === index + 1);
    return {
      number: index + 1,
      name,
      status: stepStatus(stage, step, {
        attempt,
        // Steps begin in order: one that never did was left out.
        isPassed: attempt?.steps.some((other) => other.number > index + 1) === true,
      }),
      exitCode: step?.finished?.exitCode ?? null,
      startedAt: isoOrNull(step?.startedAt),
      finishedAt: isoOrNull(step?.finished?.at),
      incomplete: step?.finished?.incomplete ?? null,
    };
  });
}

function stepStatus(
  stage: StageState,
  step: StepState | undefined,
  { attempt, isPassed }: { readonly attempt: AttemptState | undefined; readonly isPassed: boolean },
): StepView['status'] {
  const isOver =
    stage.phase.kind === 'ended' || attempt?.phase.kind === 'finished' || attempt?.phase.kind === 'lost';
  if (step === undefined) return isOver || isPassed ? 'skipped' : 'pending';
  if (step.finished !== undefined) return outcomeOf(step.finished);
  if (!isOver) return 'running';
  // It ended with its attempt, without a report of its own.
  return attempt?.phase.kind === 'finished' && attempt.phase.status === 'canceled' ? 'canceled' : 'failed';
}

function outcomeOf({ failure, exitCode }: NonNullable<StepState['finished']>): StepView['status'] {
  if (failure !== undefined) return failure.kind === 'canceled' ? 'canceled' : 'failed';
  return exitCode === undefined || exitCode === 0 ? 'succeeded' : 'failed';
}

/** `lastSeenMs`: how long ago, in ms; null when this leader has not heard of the agent. */
export function agentView(_state: State, presence: Presence, agent: AgentState, now: Now): AgentView {
  const seen = presence.agents.get(agent.agent);
  const unavailable = whyUnavailable(agent, seen, now);
  const isBusy = agent.leases.size > 0;
  return {
    id: agent.agent,
    name: agent.name,
    status:
      unavailable === undefined || unavailable.kind === 'busy'
        ? isBusy
          ? 'busy'
          : 'idle'
        : unavailable.kind,
    reason: unavailable?.reason ?? null,
    labels: agent.labels,
    slots: agent.slots,
    running: [...agent.leases].map(
      ({ stage }) => `${shortRunId(stage.run.run)} ${stageTitle(stage.outline)}`,
    ),
    version: seen?.beat?.version ?? agent.version,
    lastSeenMs: seen?.beat === undefined ? null : now.monotonicMs - seen.lastHeardMs,
  };
}

const iso = (ms: number): string => new Date(ms).toISOString();
const isoOrNull = (ms: number | undefined): string | null => (ms === undefined ? null : iso(ms));
