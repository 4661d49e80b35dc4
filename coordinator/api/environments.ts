/** What people do with environments: adding them, looking, holding, settling, rolling back, comparing. */
import { isUntouched } from '../../shared/model/deployment.js';
import type { Binding, EnvironmentSettings } from '../../shared/model/environment.js';
import type { DeploymentView, EnvironmentView, RecordDiff } from '../../shared/model/environment-view.js';
import type { CommitId, ProjectId, RunId } from '../../shared/model/ids.js';
import type { Project } from '../../shared/model/project.js';
import type { DeliveryAnswer, DeliveryCommand } from '../delivery/command.js';
import { diffRecords } from '../delivery/diff.js';
import { findEnvironment, findOpen, type Environment } from '../delivery/state.js';
import { environmentView, viewOf } from '../delivery/views.js';
import { deliveryContext } from '../scheduler/deliveries.js';
import { removeEnvironmentSecrets } from '../secrets/scoped-secrets.js';
import type { Committed } from '../coordinator.js';
import { ApiError } from './api-error.js';
import type { Services } from './services.js';

export interface EnvironmentPlace {
  readonly project: Project;
  readonly environment: string;
}

const idOf = ({ project, environment }: EnvironmentPlace) => ({ project: project.id, environment });

/** Those that were refused or not found are thrown; what is stale is the caller's to look at again. */
export type Answered = Exclude<DeliveryAnswer, { readonly kind: 'refused' | 'not-found' }>;

export async function ask(
  services: Pick<Services, 'coordinator'>,
  command: DeliveryCommand,
): Promise<Answered> {
  const answered = await services.coordinator.perform({ kind: 'Delivery', command });
  if (answered.kind === 'refused') throw new ApiError('refused', answered.message);
  if (answered.kind !== 'delivery') throw new Error(`a delivery was answered ${answered.kind}`);
  const { answer } = answered;
  if (answer.kind === 'refused' || answer.kind === 'not-found') {
    throw new ApiError(answer.kind, answer.message);
  }
  return answer;
}

const besideOf = ({ state, presence, now }: Committed) => ({
  deliveries: state.deliveries,
  presence: presence.deliveries,
  context: deliveryContext(state, now),
});

/** By name. */
export function viewsOf(
  { coordinator }: Pick<Services, 'coordinator'>,
  isWanted: (project: ProjectId) => boolean,
): Promise<readonly EnvironmentView[]> {
  return coordinator.read((committed) =>
    [...committed.state.deliveries.all.values()]
      .filter(({ project }) => isWanted(project))
      .map((environment) => environmentView(besideOf(committed), environment))
      .sort((a, b) => (a.environment < b.environment ? -1 : 1)),
  );
}

/** Throws not-found, with what there is. */
export async function viewAt(
  services: Pick<Services, 'coordinator'>,
  at: EnvironmentPlace,
): Promise<EnvironmentView> {
  const view = await services.coordinator.read((committed) => {
    const environment = findEnvironment(committed.state.deliveries, idOf(at));
    return environment === undefined ? undefined : environmentView(besideOf(committed), environment);
  });
  if (view !== undefined) return view;
  throw await notFound(services, at);
}

export async function notFound(
  { coordinator }: Pick<Services, 'coordinator'>,
  { project, environment }: EnvironmentPlace,
): Promise<ApiError> {
  const names = await coordinator.read(({ state }) =>
    [...state.deliveries.all.values()]
      .filter((other) => other.project === project.id)
      .map((other) => other.environment)
      .sort(),
  );
  const what = `project ${project.name} has no environment ${JSON.stringify(environment)}`;
  const rest =
    names.length === 0
      ? `: add it with \`gantry environments add ${environment}\``
      : `; it has ${names.join(', ')}`;
  return new ApiError('not-found', `${what}${rest}`);
}

/** One of its deployments as whoever decides over it needs it. */
export interface SeenDeployment {
  readonly settings: EnvironmentSettings;
  readonly there: CommitId | null;
  /** What is new is newer than this: where the very commit is there already, what was there before it. */
  readonly since: CommitId | null;
  readonly isOpen: boolean;
  readonly view: DeploymentView;
}

/** Throws not-found. */
export async function deploymentAt(
  services: Pick<Services, 'coordinator'>,
  at: EnvironmentPlace,
  deployment: number,
): Promise<SeenDeployment> {
  const seen = await services.coordinator.read((committed): SeenDeployment | 'none' | undefined => {
    const environment = findEnvironment(committed.state.deliveries, idOf(at));
    if (environment === undefined) return undefined;
    const view = viewOf(besideOf(committed), environment, deployment);
    return view === null ? 'none' : { ...seenOf(environment, deployment), view };
  });
  if (seen === undefined) throw await notFound(services, at);
  if (seen !== 'none') return seen;
  throw new ApiError(
    'not-found',
    `there is no deployment ${deployment} of ${at.environment}, or it is long over: see \`gantry environments show ${at.environment}\``,
  );
}

const seenOf = (environment: Environment, deployment: number): Omit<SeenDeployment, 'view'> => ({
  settings: environment.settings,
  there: environment.there?.commit ?? null,
  since: sinceOf(environment, deployment),
  isOpen: findOpen(environment, deployment) !== undefined,
});

/** Else authors could approve what they wrote once another stage, or an earlier run, of it has gone there. */
function sinceOf({ there, open, ended }: Environment, deployment: number): CommitId | null {
  const commit = open.find((other) => other.deployment === deployment)?.record.commit;
  if (there === undefined || there.commit !== commit) return there?.commit ?? null;
  const before = ended.findLast(
    ({ begun, end, record }) => begun !== undefined && !isUntouched(end) && record.commit !== commit,
  );
  return before?.record.commit ?? null;
}

export const isSameBinding = (one: Binding, other: Binding): boolean =>
  one.record === other.record && one.settings === other.settings;

/** Settings that are set are complete; `isNew`: it must not exist yet. */
export async function setEnvironment(
  services: Pick<Services, 'coordinator' | 'vault'>,
  at: EnvironmentPlace,
  order: {
    readonly isNew: boolean;
    readonly settings: (before: EnvironmentSettings | undefined) => EnvironmentSettings;
    readonly by: string;
  },
): Promise<EnvironmentView> {
  const before = await services.coordinator.read(
    ({ state }) => findEnvironment(state.deliveries, idOf(at))?.settings,
  );
  const { isNew, by } = order;
  if (isNew && before !== undefined) {
    throw new ApiError(
      'refused',
      `environment ${at.environment} exists already: change it with \`gantry environments set ${at.environment}\``,
    );
  }
  if (!isNew && before === undefined) throw await notFound(services, at);
  const settings = order.settings(before);
  // Of a former one of that name, whose removal came no further.
  if (isNew) await removeEnvironmentSecrets(services.vault, at.project.id, at.environment);
  await ask(services, { kind: 'SetEnvironment', ...idOf(at), settings, by });
  return viewAt(services, at);
}

export async function removeEnvironment(
  services: Pick<Services, 'coordinator' | 'vault'>,
  at: EnvironmentPlace,
  by: string,
): Promise<void> {
  await ask(services, { kind: 'RemoveEnvironment', ...idOf(at), by });
  await removeEnvironmentSecrets(services.vault, at.project.id, at.environment);
}

export async function hold(
  services: Pick<Services, 'coordinator'>,
  at: EnvironmentPlace,
  how: { readonly by: string; readonly reason: string },
): Promise<void> {
  const { by, reason } = how;
  await ask(services, {
    kind: 'HoldEnvironment',
    ...idOf(at),
    by,
    ...(reason === '' ? {} : { reason }),
  });
}

export async function resume(
  services: Pick<Services, 'coordinator'>,
  at: EnvironmentPlace,
  by: string,
): Promise<void> {
  await ask(services, { kind: 'ResumeEnvironment', ...idOf(at), by });
}

export async function settle(
  services: Pick<Services, 'coordinator'>,
  at: EnvironmentPlace,
  how: {
    readonly deployment: number;
    readonly outcome: 'good' | 'bad';
    readonly by: string;
    readonly reason: string;
  },
): Promise<void> {
  const { reason, ...rest } = how;
  await ask(services, {
    kind: 'Settle',
    ...idOf(at),
    ...rest,
    ...(reason === '' ? {} : { reason }),
  });
}

export interface Begun {
  /** Undefined: it comes by itself already, and has no number yet. */
  readonly deployment: number | undefined;
  readonly run: RunId | undefined;
  readonly again: boolean;
}

export async function rollback(
  services: Pick<Services, 'coordinator'>,
  at: EnvironmentPlace,
  how: { readonly run: RunId; readonly by: string },
): Promise<Begun> {
  const answer = await ask(services, { kind: 'Rollback', ...idOf(at), ...how });
  if (answer.kind !== 'deployment') return { deployment: undefined, run: undefined, again: true };
  const { deployment, again } = answer;
  // Of two that asked at the same time, the first one's run.
  const { view } = await deploymentAt(services, at, deployment);
  return { deployment, run: view.run, again };
}

export interface ShownDiff extends RecordDiff {
  readonly left: number;
  readonly right: number;
}

/** Throws not-found where nothing was deployed yet. */
export async function diff(
  services: Pick<Services, 'coordinator'>,
  project: Project,
  names: { readonly left: string; readonly right: string },
): Promise<ShownDiff> {
  const [left, right] = await Promise.all(
    [names.left, names.right].map(async (environment) => {
      const { current, settings } = await viewAt(services, { project, environment });
      if (current !== null) return { current, settings };
      throw new ApiError('not-found', `nothing was deployed to ${environment} yet`);
    }),
  );
  if (left === undefined || right === undefined) throw new Error('two environments are compared');
  const differs = [...left.settings.differs, ...right.settings.differs];
  return {
    ...diffRecords(left.current.record, right.current.record, differs),
    left: left.current.deployment,
    right: right.current.deployment,
  };
}
