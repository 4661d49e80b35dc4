/** Approving and rejecting: by whom, and exactly what. */
import type { DeliveryCommand, DeliveryHandled } from './command.js';
import { whyGone } from './before-lock.js';
import { accept, answer, findDeployment, refuse, type World } from './respond.js';
import { begunBy, isRollback, refOf, type Deployment, type Environment } from './state.js';

type Of<K extends DeliveryCommand['kind']> = Extract<DeliveryCommand, { readonly kind: K }>;

export function approve(world: World, command: Of<'Approve'>): DeliveryHandled {
  const found = findDeployment(world, command);
  if (found.kind === 'not-open') return found.handled;
  const { environment, deployment } = found;
  const { phase } = deployment;
  const { by, binding, authors } = command;
  const gone = whyNotWanted(world, deployment);
  if (gone !== undefined) return refuse(gone);
  if (phase.kind !== 'approval') {
    // Two approve at the same time: it has what both want.
    if (deployment.approvedBy !== undefined) {
      return answer({ kind: 'deployment', deployment: deployment.deployment, again: true });
    }
    return refuse(`${nameOf(environment, deployment)} does not wait for approval`);
  }
  if (phase.binding.record !== binding.record || phase.binding.settings !== binding.settings) {
    return answer({
      kind: 'stale',
      message: `${nameOf(environment, deployment)} is not what you looked at: its variables, its secrets or the settings of ${environment.environment} have changed`,
    });
  }
  const refused = whyNotBy(environment, by);
  if (refused !== undefined) return refuse(refused);
  if (environment.settings.approval?.notAuthor === true) {
    if (authors.since !== (environment.there?.commit ?? null)) {
      return answer({
        kind: 'stale',
        message: `another deployment went to ${environment.environment} meanwhile: what this one would bring has changed`,
      });
    }
    if (by === deployment.by || authors.users.includes(by)) {
      return refuse(
        `${by} submitted, landed or wrote some of it, and ${environment.environment} wants the approval of somebody else`,
      );
    }
  }
  return accept(
    [{ kind: 'DeployApproved', ...refOf(environment), deployment: deployment.deployment, by, binding }],
    {
      kind: 'deployment',
      deployment: deployment.deployment,
      again: false,
    },
  );
}

/** Also its author may, for that keeps it out. A rollback that has no run yet, and so none to cancel, is withdrawn like this. */
export function reject(world: World, command: Of<'Reject'>): DeliveryHandled {
  const found = findDeployment(world, command);
  if (found.kind === 'not-open') return found.handled;
  const { environment, deployment } = found;
  const { phase } = deployment;
  const { by, reason } = command;
  if (phase.kind !== 'approval' && !isIdleRollback(world, deployment)) {
    const hint =
      deployment.approvedBy === undefined
        ? ''
        : `: ${deployment.approvedBy} approved it (\`gantry cancel\` ends its run)`;
    return refuse(`${nameOf(environment, deployment)} does not wait for approval${hint}`);
  }
  const refused = by === deployment.by ? undefined : whyNotBy(environment, by);
  if (refused !== undefined) return refuse(refused);
  if (reason.trim() === '') return refuse('say why: `gantry reject --reason`');
  const end = { kind: 'rejected', by, reason } as const;
  return accept([{ kind: 'DeployEnded', ...refOf(environment), deployment: deployment.deployment, end }]);
}

const isIdleRollback = ({ context }: World, deployment: Deployment): boolean =>
  isRollback(deployment) && begunBy(deployment) === undefined && context.stage(deployment) === undefined;

const nameOf = ({ environment }: Environment, { deployment }: Deployment): string =>
  `deployment ${deployment} of ${environment}`;

function whyNotBy({ settings, environment }: Environment, by: string): string | undefined {
  const approvers = settings.approval?.by ?? [];
  return approvers.length === 0 || approvers.includes(by)
    ? undefined
    : `${by} is none of those whose approval ${environment} wants: ${approvers.join(', ')}`;
}

/** It was canceled in this very turn, and is about to end. */
function whyNotWanted({ context }: World, deployment: Deployment): string | undefined {
  const gone = whyGone(context.stage(deployment));
  switch (gone?.kind) {
    case undefined:
      return undefined;
    case 'canceled':
      return `its run was canceled by ${gone.by}`;
    default:
      return 'its run has ended';
  }
}
