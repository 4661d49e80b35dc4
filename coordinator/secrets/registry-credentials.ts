import type { ProjectId } from '../../shared/model/ids.js';
import type { RegistryCredential } from '../../shared/model/registry.js';
import type { Vault } from './vault.js';

export const registrySlot = (project: ProjectId, host: string) =>
  ({ project, space: 'registry', name: host }) as const;

/** What a project's images are pulled and pushed with, by host. */
export async function registryCredentials(
  vault: Pick<Vault, 'list' | 'read'>,
  project: ProjectId,
): Promise<readonly RegistryCredential[]> {
  const entries = await vault.list(project, 'registry');
  const all = await Promise.all(
    entries.map(async ({ slot }) => {
      const stored = await vault.read(slot);
      return stored === undefined ? [] : [{ host: slot.name, ...loginFromText(stored) }];
    }),
  );
  return all.flat();
}

export const loginToText = ({ user, password }: Omit<RegistryCredential, 'host'>): string =>
  JSON.stringify({ user, password });

function loginFromText(text: string): Omit<RegistryCredential, 'host'> {
  const value: unknown = JSON.parse(text);
  if (
    typeof value === 'object' &&
    value !== null &&
    'user' in value &&
    typeof value.user === 'string' &&
    'password' in value &&
    typeof value.password === 'string'
  ) {
    return { user: value.user, password: value.password };
  }
  throw new Error('the credential of a registry was written by another version of Gantry');
}
