/** Secrets of a project, as people set, list and remove them. A value goes in, and comes out to attempts only. */
import type { Project } from '../../shared/model/project.js';
import { secretNameProblem, secretValueProblem } from '../secrets/secret-rules.js';
import type { VaultEntry } from '../secrets/vault.js';
import { ApiError } from './api-error.js';
import type { Services } from './services.js';

interface Order {
  readonly project: Pick<Project, 'id' | 'name'>;
  readonly name: string;
  /** A user's name. */
  readonly by: string;
}

/** Throws ApiError that says what is wrong with name or value, never quoting the value. */
export async function setSecret(
  services: Pick<Services, 'vault' | 'coordinator'>,
  order: Order & { readonly value: string },
): Promise<VaultEntry> {
  const { project, name, value, by } = order;
  const problem = secretNameProblem(name) ?? secretValueProblem(name, value);
  if (problem !== undefined) throw new ApiError('invalid', problem);
  await services.vault.set(slotOf(order), value, by);
  await audit(services, order, 'secret.set');
  const entry = (await listSecrets(services, project)).find(({ slot }) => slot.name === name);
  if (entry === undefined) throw new ApiError('refused', `secret ${name} was removed at the same moment`);
  return entry;
}

export const listSecrets = (
  services: Pick<Services, 'vault'>,
  project: Pick<Project, 'id'>,
): Promise<readonly VaultEntry[]> => services.vault.list(project.id, 'secret');

/** Throws not-found. */
export async function removeSecret(
  services: Pick<Services, 'vault' | 'coordinator'>,
  order: Order,
): Promise<void> {
  if (!(await services.vault.remove(slotOf(order)))) {
    throw new ApiError(
      'not-found',
      `project ${order.project.name} has no secret ${JSON.stringify(order.name)}: \`gantry secrets ls\` lists them`,
    );
  }
  await audit(services, order, 'secret.remove');
}

const slotOf = ({ project, name }: Order) => ({ project: project.id, space: 'secret', name }) as const;

async function audit(
  services: Pick<Services, 'coordinator'>,
  { by, name, project }: Order,
  action: 'secret.set' | 'secret.remove',
): Promise<void> {
  await services.coordinator.perform({ kind: 'Audit', by, action, subject: name, project: project.id });
}
