/**
 * Approving and rejecting. Both are bound: an approval to what its caller was shown (`binding`), and, where authors may not
 * approve, to who made what is new. What is checked here is checked under that binding, so a change of the settings in between
 * makes the approval stale and not wrong.
 */
import type { Binding, EnvironmentSettings } from '../../shared/model/environment.js';
import type { RunId } from '../../shared/model/ids.js';
import type { UserCaller } from '../access/caller.js';
import { includes } from '../access/rights.js';
import { ApiError } from './api-error.js';
import { ask, deploymentAt, isSameBinding, type Begun, type EnvironmentPlace } from './environments.js';
import { authorsOf } from './deployment-authors.js';
import type { Services } from './services.js';

type Approver = Pick<UserCaller, 'name' | 'right'>;

export interface ApproveOrder {
  readonly at: EnvironmentPlace;
  readonly deployment: number;
  readonly binding: Binding;
  readonly by: Approver;
}

/** Throws ApiError: refused, forbidden, not-found. */
export async function approve(services: Services, order: ApproveOrder, signal: AbortSignal): Promise<Begun> {
  const { at, deployment, binding, by } = order;
  const id = { project: at.project.id, environment: at.environment, deployment };
  for (let isLast = false; ; isLast = true) {
    const { settings, there, since, view, isOpen } = await deploymentAt(services, at, deployment);
    const name = `deployment ${deployment} of ${at.environment}`;
    if (!isOpen) throw new ApiError('refused', `${name} has ended: ${view.reason ?? view.status}`);
    demandMayApprove(settings, by, at.environment);
    if (view.binding === null) {
      if (view.approvedBy !== null) return { deployment, run: view.run, again: true };
      throw new ApiError(
        'refused',
        `${name} does not wait for approval: ${view.waitingFor[0] ?? `it is ${view.status}`}`,
      );
    }
    if (!isSameBinding(view.binding, binding)) throw stale(name, at.environment);
    const users =
      settings.approval?.notAuthor === true
        ? await authorsOf(services, { project: at.project, view, since }, signal)
        : [];
    const answer = await ask(services, {
      kind: 'Approve',
      ...id,
      by: by.name,
      binding,
      authors: { since: there, users },
    });
    if (answer.kind === 'deployment') return { deployment, run: view.run, again: answer.again };
    // Another deployment went there meanwhile: what this one brings is looked up once more.
    if (isLast) throw stale(name, at.environment);
  }
}

const stale = (name: string, environment: string): ApiError =>
  new ApiError(
    'refused',
    `${name} is not what you looked at any more: look again with \`gantry environments show ${environment}\`, and approve that`,
  );

export async function reject(
  services: Pick<Services, 'coordinator'>,
  order: {
    readonly at: EnvironmentPlace;
    readonly deployment: number;
    readonly by: Approver;
    readonly reason: string;
  },
): Promise<RunId> {
  const { at, deployment, by, reason } = order;
  const { settings, view } = await deploymentAt(services, at, deployment);
  // Also whoever submitted it, for that keeps it out.
  if (view.by !== by.name) demandMayApprove(settings, by, at.environment);
  const id = { project: at.project.id, environment: at.environment, deployment };
  await ask(services, { kind: 'Reject', ...id, by: by.name, reason });
  return view.run;
}

/** Throws forbidden. Of those whom the environment names the core says the rest. */
export function demandMayApprove(
  { approval }: EnvironmentSettings,
  { name, right }: Approver,
  environment: string,
): void {
  const named = approval?.by ?? [];
  if (named.includes(name) || includes(right, 'admin')) return;
  const who = named.length === 0 ? 'an admin' : named.join(' or ');
  throw new ApiError('forbidden', `${environment} wants the approval of ${who}`);
}
