/** What the audit shows of environments: who set, held, approved, rejected, settled and rolled back what. Pure. */
import type { DeploymentEnd, DeploymentKind } from '../../shared/model/deployment.js';
import type { DeliveryEvent } from '../../shared/model/environment.js';
import type { AuditDeed, AuditNames } from './audit-rows.js';

type Of<K extends DeliveryEvent['kind']> = Extract<DeliveryEvent, { readonly kind: K }>;

/** Undefined: it follows from what was caused before. */
export function deliveryRow(event: DeliveryEvent, names: AuditNames): AuditDeed | undefined {
  const about = { subject: event.environment, project: names.project(event.project) };
  switch (event.kind) {
    case 'EnvironmentSet':
      return { by: event.by, action: 'environment.set', ...about, detail: settingsText(event) };
    case 'EnvironmentRemoved':
      return { by: event.by, action: 'environment.remove', ...about, detail: '' };
    case 'EnvironmentHeld':
      return { by: event.by, action: 'environment.hold', ...about, detail: event.reason ?? '' };
    case 'EnvironmentResumed':
      return { by: event.by, action: 'environment.resume', ...about, detail: '' };
    case 'DeployRequested':
      return { ...about, ...requested(event) };
    case 'DeployApproved': {
      const { record, settings } = event.binding;
      const detail = `deployment ${event.deployment}, record ${record}, settings ${settings}`;
      return { by: event.by, action: 'deploy.approve', ...about, detail };
    }
    case 'DeployEnded': {
      const deed = endedBy(event.end);
      if (deed === undefined) return undefined;
      const reason = deed.reason === '' ? '' : `: ${deed.reason}`;
      return {
        ...about,
        by: deed.by,
        action: deed.action,
        detail: `deployment ${event.deployment}${reason}`,
      };
    }
    case 'EnvironmentCompared':
    case 'EnvironmentChoreDone':
    case 'DeployAmended':
    case 'DeployApprovalAsked':
    case 'DeployCleared':
    case 'DeployLocked':
    case 'DeployBegan':
    case 'DeployStepsEnded':
    case 'DeployUnknown':
    case 'DeployReturned':
    case 'DeployStageReleased':
    case 'DeployEndedLate':
      return undefined;
  }
}

function requested({
  by,
  deployment,
  of,
  source,
  record,
  run,
}: Of<'DeployRequested'>): Pick<AuditDeed, 'by' | 'action' | 'detail'> {
  const what = `deployment ${deployment} of ${record.commit.slice(0, 12)}, run ${run}`;
  if (of.kind === 'rollback') {
    const isAsked = of.cause === 'asked';
    const detail = `${what}, again what was deployment ${of.of}${isAsked ? '' : ': a verify failed'}`;
    return { by: isAsked ? by : 'the coordinator', action: 'deploy.rollback', detail };
  }
  // Of a push git says who it was, which proves nothing; whoever forces it is a user.
  const isAsked = source.event === 'manual' || source.event === 'submit' || of.force !== undefined;
  return {
    by: of.force?.by ?? (isAsked ? by : `a push of ${by}`),
    action: 'deploy.request',
    detail: `${what}${forceText(of)}`,
  };
}

const forceText = (of: DeploymentKind): string =>
  of.kind === 'stage' && of.force !== undefined ? `, forced: ${of.force.reason}` : '';

/** Where a person ended it. */
function endedBy(
  end: DeploymentEnd,
): { readonly by: string; readonly action: string; readonly reason: string } | undefined {
  switch (end.kind) {
    case 'rejected':
      return { by: end.by, action: 'deploy.reject', reason: end.reason };
    case 'settled-bad':
      return { by: end.by, action: 'deploy.settle', reason: `bad${prefixed(end.reason)}` };
    case 'verified':
      return end.by === undefined ? undefined : { by: end.by, action: 'deploy.settle', reason: 'good' };
    case 'failed':
    case 'verify-failed':
    case 'canceled':
    case 'not-started':
    case 'superseded':
    case 'expired':
    case 'outdated':
    case 'not-landed':
    case 'branch-refused':
    case 'not-promoted':
      return undefined;
  }
}

const prefixed = (reason: string | undefined): string => (reason === undefined ? '' : `, ${reason}`);

/** What decides over who may deploy what. */
function settingsText({ settings }: Of<'EnvironmentSet'>): string {
  const { approval, branches, promotesFrom, rollsBack } = settings;
  const parts = [
    approval === undefined
      ? 'no approval'
      : `approval of ${approval.by.length === 0 ? 'whoever may deploy' : approval.by.join(' or ')}${approval.notAuthor ? ', not its author' : ''}`,
    ...(branches.length === 0 ? [] : [`branches ${branches.join(' ')}`]),
    ...(promotesFrom === undefined ? [] : [`promotes from ${promotesFrom}`]),
    ...(rollsBack ? ['rolls back'] : []),
  ];
  return parts.join('; ');
}
