/** What the audit shows of an event: a row, where somebody caused it. Pure. */
import type { Force } from '../../shared/model/deployment.js';
import { describeEjection } from '../../shared/model/ejection.js';
import type { Event } from '../../shared/model/event.js';
import { describePause, sourceName, type GateEvent } from '../../shared/model/gate.js';
import type { AgentId, ProjectId, RunId } from '../../shared/model/ids.js';
import type { MoveSource, RecordedMove } from '../../shared/model/project.js';
import { deliveryRow } from './audit-deliveries.js';

export interface AuditRow {
  /** Of the journal; with `place` in the entry it names the row. */
  readonly sequence: number;
  readonly place: number;
  /** Wall time, ms. */
  readonly at: number;
  /**
   * A user's name. What is no user has a space in it, which names of users have not: `agent build-1`, `the poll`,
   * `a push of Ann` (as git or the sender of a webhook says, which proves nothing).
   */
  readonly by: string;
  /** `run.cancel`, `token.create` … */
  readonly action: string;
  readonly subject: string;
  readonly project?: AuditProject;
  readonly detail: string;
}

export interface AuditProject {
  readonly id: ProjectId;
  readonly name: string;
}

/** What events before it said: events name ids, people names. */
export interface AuditNames {
  agent(agent: AgentId): string;
  project(project: ProjectId): AuditProject;
  /** Of a run that is in the state. */
  projectOfRun(run: RunId): AuditProject | undefined;
  /** Who made the push that a pending trigger is about. */
  pusher(run: RunId): string;
  isKnown(project: ProjectId): boolean;
}

/** A row without its place and time. */
export type AuditDeed = Omit<AuditRow, 'sequence' | 'place' | 'at'>;

/** Moves that a row names; a first poll brings thousands. */
const shownMoves = 5;

/** Undefined: nobody caused it, it follows from what was caused before. */
export function auditRowOf(event: Event, names: AuditNames): AuditDeed | undefined {
  switch (event.kind) {
    case 'RunAccepted': {
      const { run, facts, retryOf, failure } = event;
      const ref = facts.tag ?? facts.branch;
      const what = [ref, facts.commit.slice(0, 12), failure?.kind].filter((part) => part !== undefined);
      const isAsked = facts.event === 'submit' || facts.event === 'manual' || retryOf !== undefined;
      return {
        by: isAsked ? facts.by : `a push of ${facts.by}`,
        action: retryOf === undefined ? `run.${facts.event}` : 'run.retry',
        subject: run,
        project: { id: facts.project, name: facts.projectName },
        detail: retryOf === undefined ? what.join(' ') : `of ${retryOf}${forced(facts.force)}`,
      };
    }
    case 'CancelRequested': {
      const project = names.projectOfRun(event.run);
      return {
        by: event.by,
        action: 'run.cancel',
        subject: event.run,
        ...(project === undefined ? {} : { project }),
        detail: event.stage === undefined ? '' : `stage ${event.stage}`,
      };
    }
    case 'AgentRegistered':
      return {
        by: `agent ${event.name}`,
        action: 'agent.register',
        subject: event.agent,
        detail: `join token ${event.joinedBy}; ${event.labels.join(' ')}`,
      };
    case 'AgentDraining':
      return {
        by: event.by,
        action: event.draining ? 'agent.drain' : 'agent.undrain',
        subject: names.agent(event.agent),
        detail: '',
      };
    case 'ProjectSet': {
      const { id, name, url } = event.project;
      return {
        by: event.by,
        action: names.isKnown(id) ? 'project.set' : 'project.add',
        subject: name,
        project: { id, name },
        detail: url,
      };
    }
    case 'ProjectRemoved': {
      const project = names.project(event.project);
      return { by: event.by, action: 'project.remove', subject: project.name, project, detail: '' };
    }
    case 'RefsMoved': {
      const [first] = event.moves;
      if (first === undefined) return undefined;
      const project = names.project(event.project);
      const count = event.moves.length;
      return {
        by: moverOf(event.source),
        action: 'refs.move',
        subject: count === 1 ? first.ref : `${count} refs of ${project.name}`,
        project,
        detail: movesText(event.moves),
      };
    }
    case 'TriggerSettled':
      return {
        by: names.pusher(event.run),
        action: 'push.skip',
        subject: event.run,
        project: names.project(event.project),
        detail: event.reason,
      };
    case 'Audited': {
      const { by, action, subject, project, detail } = event;
      return {
        by,
        action,
        subject,
        ...(project === undefined ? {} : { project: names.project(project) }),
        detail: detail ?? '',
      };
    }
    case 'GateQueued':
    case 'GateLanded':
    case 'GateEjected':
    case 'GateBypassed':
    case 'GatePaused':
    case 'GateResumed':
      return gateRow(event, names);
    case 'EnvironmentSet':
    case 'EnvironmentRemoved':
    case 'EnvironmentHeld':
    case 'EnvironmentResumed':
    case 'EnvironmentCompared':
    case 'EnvironmentChoreDone':
    case 'DeployRequested':
    case 'DeployAmended':
    case 'DeployApprovalAsked':
    case 'DeployCleared':
    case 'DeployApproved':
    case 'DeployLocked':
    case 'DeployBegan':
    case 'DeployStepsEnded':
    case 'DeployUnknown':
    case 'DeployReturned':
    case 'DeployStageReleased':
    case 'DeployEnded':
    case 'DeployEndedLate':
      return deliveryRow(event, names);
    case 'GateTargetSeen':
    case 'GateMerged':
    case 'GateConflicted':
    case 'GateContained':
    case 'GateRunStarted':
    case 'GateRunEnded':
    case 'GateRebuilt':
    case 'GatePushBegan':
    case 'GatePushFailed':
    case 'GateLeaving':
    case 'GateAlreadyLanded':
    case 'GateChoreDone':
    case 'EpochBegan':
    case 'StageLeased':
    case 'LeaseReturned':
    case 'AttemptReported':
    case 'AttemptLost':
    case 'ConditionHeld':
    case 'StageEnded':
    case 'RunEnded':
    case 'Notified':
    case 'NotificationsDone':
    case 'RunRecorded':
    case 'AgentForgotten':
      return undefined;
  }
}

const forced = (force: Force | undefined): string => (force === undefined ? '' : `, forced: ${force.reason}`);

type GateNews = Extract<
  GateEvent,
  { kind: 'GateQueued' | 'GateLanded' | 'GateEjected' | 'GateBypassed' | 'GatePaused' | 'GateResumed' }
>;

function gateRow(event: GateNews, names: AuditNames): AuditDeed {
  const project = names.project(event.project);
  const { target } = event;
  switch (event.kind) {
    case 'GateQueued': {
      const { source, commit } = event;
      const by = source.kind === 'proposal' ? `a push of ${event.by}` : event.by;
      const detail = `${sourceName(source)} at ${commit.slice(0, 12)} for ${target}`;
      return { by, action: 'gate.land', subject: event.entry, project, detail };
    }
    case 'GateLanded': {
      const detail = `${target} ${event.from.slice(0, 12)} -> ${event.commit.slice(0, 12)}`;
      return { by: 'the gate', action: 'gate.landed', subject: event.entry, project, detail };
    }
    case 'GateEjected': {
      const { ejection } = event;
      const by = ejection.kind === 'asked' ? ejection.by : 'the gate';
      return { by, action: 'gate.eject', subject: event.entry, project, detail: describeEjection(ejection) };
    }
    case 'GateBypassed': {
      const detail = `${event.from.slice(0, 12)} -> ${event.to.slice(0, 12)}`;
      const by = `a push of ${event.by.length === 0 ? 'somebody' : event.by.join(', ')}`;
      return { by, action: 'gate.bypass', subject: target, project, detail };
    }
    case 'GatePaused': {
      const by = event.pause.kind === 'asked' ? event.pause.by : 'the gate';
      return { by, action: 'gate.pause', subject: target, project, detail: describePause(event.pause) };
    }
    case 'GateResumed':
      return { by: event.by, action: 'gate.resume', subject: target, project, detail: '' };
  }
}

export function moverOf(source: MoveSource): string {
  switch (source.kind) {
    case 'poll':
      return 'the poll';
    case 'webhook':
      return `a webhook, push of ${source.pusher ?? 'somebody'}`;
    case 'gate':
      return `the gate, for ${source.pusher}`;
  }
}

function movesText(moves: readonly RecordedMove[]): string {
  const shown = moves.slice(0, shownMoves).map(({ ref, old, new: to }) => {
    const from = old === undefined ? 'made at' : `${old.slice(0, 12)} ->`;
    return to === undefined ? `${ref} deleted` : `${ref} ${from} ${to.slice(0, 12)}`;
  });
  const rest = moves.length - shown.length;
  return shown.join(', ') + (rest > 0 ? `, and ${rest} more` : '');
}
