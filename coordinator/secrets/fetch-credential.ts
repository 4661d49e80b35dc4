import { credentialFromText } from '../../shared/git/credential-text.js';
import type { GitCredential } from '../../shared/git/credential.js';
import type { ProjectId } from '../../shared/model/ids.js';
import type { Vault } from './vault.js';

/** What a project's repository is read with; undefined: what it gives to everybody. */
export async function fetchCredential(vault: Vault, project: ProjectId): Promise<GitCredential | undefined> {
  const stored = await vault.read({ project, space: 'credential', name: 'fetch' });
  return stored === undefined ? undefined : credentialFromText(stored);
}

/** What it is pushed to with; where there is none, what it is read with. */
export async function pushCredential(vault: Vault, project: ProjectId): Promise<GitCredential | undefined> {
  const stored = await vault.read({ project, space: 'credential', name: 'push' });
  return stored === undefined ? fetchCredential(vault, project) : credentialFromText(stored);
}
