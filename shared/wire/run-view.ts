/** What people see of runs and agents, to messages and back. Empty strings on the wire are nulls in the model. */
import type { AgentView as AgentMessage, AgentView__Output } from './gen/gantry/v1/AgentView.js';
import type { ArtifactView as ArtifactMessage, ArtifactView__Output } from './gen/gantry/v1/ArtifactView.js';
import type { AttemptView as AttemptMessage, AttemptView__Output } from './gen/gantry/v1/AttemptView.js';
import type { RunView as RunMessage, RunView__Output } from './gen/gantry/v1/RunView.js';
import type { StageView as StageMessage, StageView__Output } from './gen/gantry/v1/StageView.js';
import type { StepView as StepMessage, StepView__Output } from './gen/gantry/v1/StepView.js';
import type { Failing as FailingMessage, Failing__Output } from './gen/gantry/v1/Failing.js';
import { parseAgentId, parseCommitId, parseRunId, type RunId } from '../model/ids.js';
import type { Failing, RunAtCommit } from '../model/project.js';
import {
  agentStatuses,
  attemptStatuses,
  stageStatuses,
  stepStatuses,
  type AgentView,
  type ArtifactView,
  type AttemptView,
  type RunSummary,
  type RunView,
  type StageView,
  type StepView,
} from '../model/run.js';
import { failureFromWire, failureToWire } from './failure.js';
import { tokenFromWire } from './refs.js';
import { oneOf, parsed } from './wire-error.js';

const orNull = (text: string | undefined): string | null => (text === undefined || text === '' ? null : text);

export const stepToWire = (step: StepView): StepMessage => ({
  number: step.number,
  name: step.name,
  status: step.status,
  startedAt: step.startedAt ?? '',
  finishedAt: step.finishedAt ?? '',
  incomplete: step.incomplete ?? '',
  ...(step.exitCode === null ? {} : { exitCode: step.exitCode }),
});

export const stepFromWire = (step: StepView__Output): StepView => ({
  number: step.number ?? 0,
  name: step.name ?? '',
  status: oneOf('step.status', stepStatuses, step.status),
  exitCode: step.exitCode ?? null,
  startedAt: orNull(step.startedAt),
  finishedAt: orNull(step.finishedAt),
  incomplete: orNull(step.incomplete),
});

export const attemptToWire = (attempt: AttemptView): AttemptMessage => ({
  attempt: attempt.attempt,
  agent: attempt.agent,
  agentName: attempt.agentName,
  token: attempt.token,
  status: attempt.status,
  reason: attempt.reason ?? '',
  leasedAt: attempt.leasedAt,
  startedAt: attempt.startedAt ?? '',
  finishedAt: attempt.finishedAt ?? '',
  takenFrom: attempt.takenFrom ?? '',
  ...(attempt.failure === null ? {} : { failure: failureToWire(attempt.failure) }),
});

const runOrNull = (run: string | undefined): RunId | null =>
  run === undefined || run === '' ? null : (parseRunId(run) ?? null);

export const attemptFromWire = (attempt: AttemptView__Output): AttemptView => ({
  attempt: attempt.attempt ?? 0,
  agent: parsed('attempt.agent', 'an agent id', parseAgentId, attempt.agent),
  agentName: attempt.agentName ?? '',
  token: tokenFromWire(attempt.token),
  status: oneOf('attempt.status', attemptStatuses, attempt.status),
  reason: orNull(attempt.reason),
  failure: attempt.failure == null ? null : failureFromWire(attempt.failure),
  leasedAt: attempt.leasedAt ?? '',
  startedAt: orNull(attempt.startedAt),
  finishedAt: orNull(attempt.finishedAt),
  takenFrom: runOrNull(attempt.takenFrom),
});

export const stageToWire = (stage: StageView): StageMessage => ({
  number: stage.number,
  name: stage.name,
  cell: { ...stage.cell },
  title: stage.title,
  status: stage.status,
  allowFailure: stage.allowFailure,
  needs: [...stage.needs],
  waitingFor: [...stage.waitingFor],
  attempts: stage.attempts.map(attemptToWire),
  steps: stage.steps.map(stepToWire),
  ...(stage.failure === null ? {} : { failure: failureToWire(stage.failure) }),
  ...(stage.whySkipped === null ? {} : { whySkipped: stage.whySkipped }),
});

export const stageFromWire = (stage: StageView__Output): StageView => ({
  number: stage.number ?? 0,
  name: stage.name ?? '',
  cell: { ...stage.cell },
  title: stage.title ?? '',
  status: oneOf('stage.status', stageStatuses, stage.status),
  allowFailure: stage.allowFailure ?? false,
  needs: stage.needs ?? [],
  waitingFor: stage.waitingFor ?? [],
  failure: stage.failure == null ? null : failureFromWire(stage.failure),
  whySkipped: orNull(stage.whySkipped),
  attempts: (stage.attempts ?? []).map(attemptFromWire),
  steps: (stage.steps ?? []).map(stepFromWire),
});

export const artifactToWire = (artifact: ArtifactView): ArtifactMessage => ({
  stage: artifact.stage,
  stageNumber: artifact.stageNumber,
  name: artifact.name,
  files: artifact.files.map((file) => ({ ...file })),
});

export const artifactFromWire = (artifact: ArtifactView__Output): ArtifactView => ({
  stage: artifact.stage ?? '',
  stageNumber: artifact.stageNumber ?? 0,
  name: artifact.name ?? '',
  files: (artifact.files ?? []).map((file) => ({
    path: file.path ?? '',
    mode: file.mode ?? 0,
    size: file.size ?? 0,
    sha256: file.sha256 ?? '',
  })),
});

export const runSummaryToWire = (run: RunSummary): RunMessage => ({
  run: run.run,
  status: run.status,
  project: run.project,
  branch: run.branch ?? '',
  commit: run.commit,
  title: run.title,
  author: run.author ?? '',
  by: run.by,
  event: run.event,
  retryOf: run.retryOf ?? '',
  submittedAt: run.submittedAt,
  startedAt: run.startedAt ?? '',
  finishedAt: run.finishedAt ?? '',
  ...(run.failure === null ? {} : { failure: failureToWire(run.failure) }),
  ...(run.failing === null ? {} : { failing: failingToWire(run.failing) }),
});

const failingToWire = ({ since, lastGreen }: Failing): FailingMessage => ({
  sinceRun: since.run,
  sinceCommit: since.commit,
  lastGreenRun: lastGreen?.run ?? '',
  lastGreenCommit: lastGreen?.commit ?? '',
});

function failingFromWire(failing: Failing__Output): Failing {
  const at = (run: string | undefined, commit: string | undefined): RunAtCommit => ({
    run: parsed('failing.run', 'a run id', parseRunId, run),
    commit: parsed('failing.commit', 'a commit id', parseCommitId, commit),
  });
  const since = at(failing.sinceRun, failing.sinceCommit);
  const hasGreen = failing.lastGreenRun !== undefined && failing.lastGreenRun !== '';
  return hasGreen ? { since, lastGreen: at(failing.lastGreenRun, failing.lastGreenCommit) } : { since };
}

export const runSummaryFromWire = (run: RunView__Output): RunSummary => ({
  run: parsed('run', 'a run id', parseRunId, run.run),
  status: oneOf('run.status', stageStatuses, run.status),
  project: run.project ?? '',
  branch: orNull(run.branch),
  commit: run.commit ?? '',
  title: run.title ?? '',
  author: orNull(run.author),
  by: run.by ?? '',
  event: run.event ?? '',
  retryOf: runOrNull(run.retryOf),
  submittedAt: run.submittedAt ?? '',
  startedAt: orNull(run.startedAt),
  finishedAt: orNull(run.finishedAt),
  failure: run.failure == null ? null : failureFromWire(run.failure),
  failing: run.failing == null ? null : failingFromWire(run.failing),
});

export const runToWire = (run: RunView): RunMessage => ({
  ...runSummaryToWire(run),
  stages: run.stages.map(stageToWire),
  artifacts: run.artifacts.map(artifactToWire),
});

export const runFromWire = (run: RunView__Output): RunView => ({
  ...runSummaryFromWire(run),
  stages: (run.stages ?? []).map(stageFromWire),
  artifacts: (run.artifacts ?? []).map(artifactFromWire),
});

export const agentToWire = (agent: AgentView): AgentMessage => ({
  id: agent.id,
  name: agent.name,
  status: agent.status,
  reason: agent.reason ?? '',
  labels: [...agent.labels],
  slots: agent.slots,
  running: [...agent.running],
  version: agent.version,
  ...(agent.lastSeenMs === null ? {} : { lastSeenMs: Math.round(agent.lastSeenMs) }),
});

export const agentFromWire = (agent: AgentView__Output): AgentView => ({
  id: parsed('agent.id', 'an agent id', parseAgentId, agent.id),
  name: agent.name ?? '',
  status: oneOf('agent.status', agentStatuses, agent.status),
  reason: orNull(agent.reason),
  labels: agent.labels ?? [],
  slots: agent.slots ?? 0,
  running: agent.running ?? [],
  version: agent.version ?? '',
  lastSeenMs: agent.lastSeenMs ?? null,
});
