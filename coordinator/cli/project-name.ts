import path from 'node:path';
import { usersEnvironment } from '../../shared/git/git-environment.js';
import { GitError, gitText } from '../../shared/git/git-program.js';
import { normalizeRepositoryUrl, withoutCredentials } from '../../shared/git/repository-url.js';

/**
 * The name of the project that a directory belongs to, as `submit` would send it: the normalized URL of `origin`, else
 * the repository's root, else the directory. Unlike `describeTree` it does not look at the files.
 */
export async function projectNameOf(directory: string): Promise<string> {
  const ask = async (...args: string[]): Promise<string | undefined> => {
    try {
      return await gitText({ args, environment: usersEnvironment(), cwd: directory });
    } catch (error) {
      // No repository, no origin, no git: the directory names the project.
      if (error instanceof GitError) return undefined;
      throw error;
    }
  };
  const root = (await ask('rev-parse', '--show-toplevel')) ?? path.resolve(directory);
  if ((await ask('config', '--get', 'remote.origin.url')) === undefined) return root;
  const origin = withoutCredentials((await ask('remote', 'get-url', 'origin')) ?? '');
  try {
    return normalizeRepositoryUrl(origin.startsWith('.') ? path.resolve(root, origin) : origin).name;
  } catch {
    // An origin that no agent could fetch still names the project.
    return origin;
  }
}
