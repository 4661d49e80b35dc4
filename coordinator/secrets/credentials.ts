/** Git credentials of projects as people set and see them, and as the vault keeps them. */
import { checkGitCredential, describeGitCredential } from '../../shared/git/check-credential.js';
import { credentialFromText } from '../../shared/git/credential-text.js';
import type { GitCredential } from '../../shared/git/credential.js';
import { GitAccessError } from '../../shared/git/git-access.js';
import type { RepositoryUrl } from '../../shared/git/repository-url.js';

/** Undefined: it can be used for the repository; whether the server takes it, only the server says. Else a sentence. */
export async function checkCredential(
  credential: GitCredential,
  repository: Pick<RepositoryUrl, 'url' | 'transport'>,
): Promise<string | undefined> {
  try {
    await checkGitCredential(credential, repository);
    return undefined;
  } catch (error) {
    if (error instanceof GitAccessError) return error.message;
    throw error;
  }
}

/** What may be shown of what the vault has: `https token of gantry`, `ssh key SHA256:…`. */
export const describeCredential = async (stored: string): Promise<string> =>
  describeGitCredential(credentialFromText(stored));
