/**
 * Secrets have a scope: the project, or one of its environments. Stages without an environment get those of the project; a
 * deployment gets its environment's, and for names that this has not, the project's.
 */
import type { ProjectId } from '../../shared/model/ids.js';
import type { Vault, VaultSlot } from './vault.js';

export interface SecretScope {
  readonly project: ProjectId;
  /** Absent: the project itself. */
  readonly environment?: string;
}

export interface ScopedSecret {
  readonly name: string;
  readonly environment?: string;
  /** Wall time, ms. */
  readonly changedAt: number;
  readonly changedBy: string;
}

/** Neither names of environments nor of secrets have a `/`, so two scopes never share a slot. */
export const secretSlot = ({ project, environment }: SecretScope, name: string): VaultSlot =>
  environment === undefined
    ? { project, space: 'secret', name }
    : { project, space: 'environment', name: `${environment}/${name}` };

/** Those of the project first, then those of each environment, by name. */
export async function listScopedSecrets(vault: Vault, project: ProjectId): Promise<readonly ScopedSecret[]> {
  const [own, others] = await Promise.all([
    vault.list(project, 'secret'),
    vault.list(project, 'environment'),
  ]);
  return [
    ...own.map(({ slot, changedAt, changedBy }) => ({ name: slot.name, changedAt, changedBy })),
    ...others.map(({ slot, changedAt, changedBy }) => ({ ...scopeOf(slot.name), changedAt, changedBy })),
  ];
}

/** What a stage that names these secrets gets; one that there is in neither scope is missing. */
export async function deploymentSecrets(
  vault: Vault,
  project: ProjectId,
  environment: string | undefined,
  names: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const values = await Promise.all(
    names.map(async (name) => {
      const own =
        environment === undefined ? undefined : await vault.read(secretSlot({ project, environment }, name));
      return own ?? (await vault.read(secretSlot({ project }, name)));
    }),
  );
  return new Map(names.flatMap((name, n) => (values[n] === undefined ? [] : [[name, values[n]]])));
}

export async function removeEnvironmentSecrets(
  vault: Vault,
  project: ProjectId,
  environment: string,
): Promise<void> {
  for (const { slot } of await vault.list(project, 'environment')) {
    if (scopeOf(slot.name).environment === environment) await vault.remove(slot);
  }
}

function scopeOf(slotName: string): { readonly environment: string; readonly name: string } {
  const at = slotName.indexOf('/');
  return { environment: slotName.slice(0, at), name: slotName.slice(at + 1) };
}
