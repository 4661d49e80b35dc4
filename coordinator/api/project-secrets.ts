/** Secrets of a project and its environments, as people set, list and remove them. A value goes in, and comes out to attempts only. */
import { findEnvironment } from '../delivery/state.js';
import type { Project } from '../../shared/model/project.js';
import { listScopedSecrets, secretSlot, type ScopedSecret } from '../secrets/scoped-secrets.js';
import { secretNameProblem, secretValueProblem } from '../secrets/secret-rules.js';
import { ApiError } from './api-error.js';
import type { Services } from './services.js';

interface Order {
  readonly project: Pick<Project, 'id' | 'name'>;
  /** Absent: of the project. */
  readonly environment?: string;
  readonly name: string;
  /** A user's name. */
  readonly by: string;
}

type Needs = Pick<Services, 'vault' | 'coordinator'>;
type Changes = Needs & Pick<Services, 'deploying'>;

/** Throws ApiError that says what is wrong with name or value, never quoting the value. */
export async function setSecret(
  services: Changes,
  order: Order & { readonly value: string },
): Promise<ScopedSecret> {
  const { project, environment, name, value, by } = order;
  const problem = secretNameProblem(name) ?? secretValueProblem(name, value);
  if (problem !== undefined) throw new ApiError('invalid', problem);
  if (environment !== undefined) await demandEnvironment(services, project, environment);
  await services.vault.set(slotOf(order), value, by);
  await changed(services, order, 'secret.set');
  const set = (await listScopedSecrets(services.vault, project.id)).find(
    (secret) => secret.name === name && secret.environment === environment,
  );
  if (set === undefined) throw new ApiError('refused', `secret ${name} was removed at the same moment`);
  return set;
}

/** Of the project and of each environment; `environment`: of this one only. */
export async function listSecrets(
  services: Needs,
  { project, environment }: Pick<Order, 'project' | 'environment'>,
): Promise<readonly ScopedSecret[]> {
  const all = await listScopedSecrets(services.vault, project.id);
  if (environment === undefined) return all;
  await demandEnvironment(services, project, environment);
  return all.filter((secret) => secret.environment === environment);
}

/** Throws not-found. */
export async function removeSecret(services: Changes, order: Order): Promise<void> {
  const { project, environment, name } = order;
  if (!(await services.vault.remove(slotOf(order)))) {
    const whose = environment === undefined ? `project ${project.name}` : `environment ${environment}`;
    throw new ApiError(
      'not-found',
      `${whose} has no secret ${JSON.stringify(name)}: \`gantry secrets ls\` lists them`,
    );
  }
  await changed(services, order, 'secret.remove');
}

/** Throws not-found. */
async function demandEnvironment(
  { coordinator }: Needs,
  { id }: Order['project'],
  environment: string,
): Promise<void> {
  const isKnown = await coordinator.read(
    ({ state }) => findEnvironment(state.deliveries, { project: id, environment }) !== undefined,
  );
  if (isKnown) return;
  throw new ApiError(
    'not-found',
    `there is no environment ${JSON.stringify(environment)}: add it with \`gantry environments add\``,
  );
}

const slotOf = ({ project, environment, name }: Order) =>
  secretSlot({ project: project.id, ...(environment === undefined ? {} : { environment }) }, name);

/** On record; and what waits to be deployed with it is not what was approved any more. */
async function changed(
  { coordinator, deploying }: Changes,
  { by, name, environment, project: { id } }: Order,
  action: 'secret.set' | 'secret.remove',
): Promise<void> {
  const subject = environment === undefined ? name : `${environment}/${name}`;
  await coordinator.perform({ kind: 'Audit', by, action, subject, project: id });
  await deploying.amend(id, environment);
}
