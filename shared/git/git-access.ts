import type { GitCredential } from './credential.js';
import { isolatedEnvironment } from './git-environment.js';
import { withPrivateFiles } from './private-files.js';
import type { RepositoryUrl } from './repository-url.js';

export interface GitAccessRequest {
  readonly repository: RepositoryUrl;
  /** Absent: what the repository gives to everybody, and by ssh to the user that runs this process. */
  readonly credential?: GitCredential | undefined;
  /** More configuration for these commands only, as of `isolatedEnvironment`. */
  readonly config?: Readonly<Record<string, string>>;
}

/** The credential is of another kind than the URL asks for: a sentence that says what to set. */
export class GitAccessError extends Error {
  override readonly name = 'GitAccessError';
}

/**
 * Lends the whole environment for git commands that talk to one repository: isolated as `isolatedEnvironment` says, and with
 * what proves who asks. The environment is good until `use` has ended; then nothing of the credential is left on this
 * machine. It holds the secret and must not be logged. Throws `GitAccessError` where the credential does not fit the URL.
 *
 * - A token goes out only when the server asks for it, and only for this URL: git takes it from a credential helper that
 *   stands in the configuration of this host and path. A redirect to another host gets nothing. (`http.<url>.extraHeader`
 *   would send it there: git 2.39 repeats the header in the request that follows the redirected one. Measured.)
 * - An ssh key is a file that is gone afterwards; the keys, the agent, the configuration and the known hosts of the user that
 *   runs this process do not count, and a host that is not in the credential's `knownHosts` is refused.
 */
export async function withGitAccess<T>(
  request: GitAccessRequest,
  use: (environment: Readonly<Record<string, string>>) => Promise<T>,
): Promise<T> {
  const { repository, credential } = request;
  const isolated = (config: Readonly<Record<string, string>> = {}): Record<string, string> =>
    isolatedEnvironment({ transport: repository.transport, config: { ...request.config, ...config } });
  // A path needs no proof: who runs this process may read it or not.
  if (credential === undefined || repository.transport === 'file') return use(isolated());
  if (credential.kind === 'https') {
    requireTransport(repository, repository.transport !== 'ssh', 'a token is for https, and');
    return use({
      ...isolated(helperConfig(repository.url)),
      [userVariable]: credential.user,
      [tokenVariable]: credential.token,
    });
  }
  requireTransport(repository, repository.transport === 'ssh', 'an ssh key is for ssh, and');
  const files = { key: withLineEnd(credential.privateKey), known_hosts: withLineEnd(credential.knownHosts) };
  return withPrivateFiles(files, async (directory) => {
    const { SSH_AUTH_SOCK: _, ...environment } = isolated();
    return use({ ...environment, GIT_SSH_COMMAND: sshCommand(directory), GIT_SSH_VARIANT: 'ssh' });
  });
}

const userVariable = 'GANTRY_GIT_USER';
const tokenVariable = 'GANTRY_GIT_TOKEN';

/** git runs it by `sh`; what it says comes from the environment, so nothing of it is in a list of processes. */
const helper = `!f() { test "$1" = get && printf 'username=%s\\npassword=%s\\n' "$${userVariable}" "$${tokenVariable}"; }; f`;

function helperConfig(url: string): Record<string, string> {
  // Servers redirect between the two spellings of one repository.
  const bare = url.replace(/\.git$/, '');
  return {
    'credential.useHttpPath': 'true',
    [`credential.${bare}.helper`]: helper,
    [`credential.${bare}.git.helper`]: helper,
  };
}

/** `-F none`: no configuration of the user or the system may name another key, host or command. */
const sshCommand = (directory: string): string =>
  [
    'ssh -F none -a -x',
    `-i '${directory}/key'`,
    ...[
      'IdentitiesOnly=yes',
      'IdentityAgent=none',
      `UserKnownHostsFile="${directory}/known_hosts"`,
      'GlobalKnownHostsFile=/dev/null',
      'UpdateHostKeys=no',
      'StrictHostKeyChecking=yes',
      'PreferredAuthentications=publickey',
      'BatchMode=yes',
      'ConnectTimeout=30',
      'ServerAliveInterval=15',
      'ServerAliveCountMax=4',
    ].map((option) => `-o '${option}'`),
  ].join(' ');

/** OpenSSH does not read a key whose last line has no end, nor one with the line ends of Windows. */
export const withLineEnd = (text: string): string => `${text.replace(/\r\n/g, '\n').trimEnd()}\n`;

function requireTransport(repository: RepositoryUrl, fits: boolean, what: string): void {
  if (fits) return;
  const other = repository.transport === 'ssh' ? 'an ssh key' : 'a token';
  throw new GitAccessError(
    `${what} ${repository.url} is fetched by ${repository.transport}: give the project ${other}, or write its URL for the other`,
  );
}
