/** Registries of a project's images, as people set them and see them: a password goes in, and comes out to attempts only. */
import type { Project } from '../../shared/model/project.js';
import { parseRegistryHost, type RegistryCredential } from '../../shared/model/registry.js';
import { loginToText, registryCredentials, registrySlot } from '../secrets/registry-credentials.js';
import { ApiError } from './api-error.js';
import type { Services } from './services.js';

/** `none`: it is asked without credentials from now on. */
export type RegistryChange = RegistryCredential | { readonly host: string; readonly none: true };

/** As long as a token of a cloud's registry, and no longer than fits into a header. */
const maxPasswordBytes = 16 * 1024;

/** The changes with hosts as they are compared. Throws ApiError that says what is wrong, never quoting a password. */
export function checkRegistries(changes: readonly RegistryChange[]): readonly RegistryChange[] {
  const checked = changes.map((change) => {
    const host = parseRegistryHost(change.host);
    if (host === undefined) {
      throw new ApiError(
        'invalid',
        `registry ${JSON.stringify(change.host.slice(0, 260))}: expected its host as images name it, without \`https://\` and path, such as registry.example.org, 127.0.0.1:5000 or docker.io`,
      );
    }
    if ('none' in change) return { ...change, host };
    const problem = loginProblem(change);
    if (problem !== undefined) throw new ApiError('invalid', `registry ${host}: ${problem}`);
    return { ...change, host };
  });
  const twice = checked.find(({ host }, index) => checked.findIndex((each) => each.host === host) < index);
  if (twice !== undefined) throw new ApiError('invalid', `registry ${twice.host} is named twice`);
  return checked;
}

function loginProblem({ user, password }: RegistryCredential): string | undefined {
  if (user === '') return 'its user is missing';
  // In the header that carries both, a colon ends the user.
  if (/[:\p{Cc}]/u.test(user) || user.length > 256)
    return 'the user cannot have a colon or control characters';
  if (password === '') return 'its password is empty';
  if (/\p{Cc}/u.test(password)) return 'the password has control characters; a line end is none of it';
  if (Buffer.byteLength(password) > maxPasswordBytes) return 'the password is longer than 16 KiB';
  return undefined;
}

/** Throws not-found for one that is to go and is not there. */
export async function storeRegistries(
  { vault, coordinator }: Pick<Services, 'vault' | 'coordinator'>,
  project: Pick<Project, 'id' | 'name'>,
  order: { readonly changes: readonly RegistryChange[]; readonly by: string },
): Promise<void> {
  const { changes, by } = order;
  for (const change of changes) {
    const slot = registrySlot(project.id, change.host);
    if ('none' in change) {
      if (!(await vault.remove(slot))) {
        throw new ApiError(
          'not-found',
          `project ${project.name} has no credentials for registry ${change.host}`,
        );
      }
    } else await vault.set(slot, loginToText(change), by);
    const action = 'none' in change ? 'registry.remove' : 'registry.set';
    await coordinator.perform({ kind: 'Audit', by, action, subject: change.host, project: project.id });
  }
}

/** Without passwords. */
export async function shownRegistries(
  { vault }: Pick<Services, 'vault'>,
  { id }: Pick<Project, 'id'>,
): Promise<readonly { readonly host: string; readonly user: string }[]> {
  return (await registryCredentials(vault, id)).map(({ host, user }) => ({ host, user }));
}
