/** What people see of an environment. See `shared/model/environment-view.ts` for the shapes. */
import { describeDeploymentEnd, type DeploymentEnd } from '../../shared/model/deployment.js';
import type {
  DeploymentStatus,
  DeploymentView,
  EnvironmentView,
} from '../../shared/model/environment-view.js';
import { holdsOf, reasonsOf, type Beside } from './reasons.js';
import { isGood } from './rollback.js';
import {
  begunBy,
  findEnded,
  findOpen,
  type Deployment,
  type DeploymentFacts,
  type DeploymentPhase,
  type EndedDeployment,
  type Environment,
} from './state.js';

export function environmentView(beside: Beside, environment: Environment): EnvironmentView {
  const { project, environment: name, settings, open, ended, there } = environment;
  const good = ended.findLast(isGood);
  return {
    project,
    environment: name,
    status: statusOfEnvironment(environment),
    settings,
    current: there === undefined ? null : viewOf(beside, environment, there.deployment),
    lastVerified: good === undefined || good.deployment === there?.deployment ? null : endedView(good),
    holds: holdsOf(environment),
    open: open.map((deployment) => openView(beside, environment, deployment)),
    history: ended.toReversed().map(endedView),
  };
}

function statusOfEnvironment({ open, holder, held, rolledBack }: Environment): EnvironmentView['status'] {
  const holding = open.find(({ deployment }) => deployment === holder);
  if (holding?.phase.kind === 'unknown') return 'unknown';
  if (holding !== undefined) return 'busy';
  return held !== undefined || rolledBack !== undefined ? 'held' : 'free';
}

/** Null: it is long over. */
export function viewOf(beside: Beside, environment: Environment, deployment: number): DeploymentView | null {
  const open = findOpen(environment, deployment);
  if (open !== undefined) return openView(beside, environment, open);
  const ended = findEnded(environment, deployment);
  return ended === undefined ? null : endedView(ended);
}

function openView(beside: Beside, environment: Environment, deployment: Deployment): DeploymentView {
  const { phase, record, approvedBy } = deployment;
  const begun = begunBy(deployment);
  return {
    ...factsView(deployment),
    status: statusOf(phase),
    approvedBy: approvedBy ?? null,
    beganAt: begun === undefined ? null : iso(begun.at),
    endedAt: null,
    waitingFor: reasonsOf(beside, environment, deployment),
    reason: null,
    late: null,
    binding: phase.kind === 'approval' ? phase.binding : null,
    isDisavowed: false,
    record,
  };
}

function endedView(ended: EndedDeployment): DeploymentView {
  const { approvedBy, begun, end, endedAt, late, isDisavowed, record } = ended;
  return {
    ...factsView(ended),
    status: statusOfEnd(end),
    approvedBy: approvedBy ?? null,
    beganAt: begun === undefined ? null : iso(begun.at),
    endedAt: iso(endedAt),
    waitingFor: [],
    reason: describeDeploymentEnd(end),
    late: late ?? null,
    binding: null,
    isDisavowed,
    record,
  };
}

function factsView(facts: DeploymentFacts & { readonly record: DeploymentView['record'] }) {
  const { deployment, run, stage, of, source, title, by, requestedAt, record } = facts;
  return {
    deployment,
    run,
    stage,
    commit: record.commit,
    title,
    branch: source.branch ?? null,
    by,
    rollbackOf: of.kind === 'rollback' ? of.of : null,
    forced: of.kind === 'stage' && of.force !== undefined ? `${of.force.by}: ${of.force.reason}` : null,
    requestedAt: iso(requestedAt),
  };
}

function statusOf({ kind }: DeploymentPhase): DeploymentStatus {
  switch (kind) {
    case 'ready':
      return 'queued';
    case 'locked':
      return 'starting';
    case 'waiting':
    case 'approval':
    case 'running':
    case 'verifying':
    case 'unknown':
      return kind;
  }
}

function statusOfEnd(end: DeploymentEnd): DeploymentStatus {
  switch (end.kind) {
    case 'verified':
    case 'canceled':
    case 'rejected':
    case 'superseded':
    case 'expired':
      return end.kind;
    case 'failed':
    case 'verify-failed':
    case 'settled-bad':
    case 'not-started':
      return 'failed';
    case 'outdated':
    case 'not-landed':
    case 'branch-refused':
    case 'not-promoted':
      return 'refused';
  }
}

const iso = (ms: number): string => new Date(ms).toISOString();
