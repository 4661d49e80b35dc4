import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import path from 'node:path';
import type { GitCredential } from './credential.js';
import { GitAccessError, withLineEnd } from './git-access.js';
import { withPrivateFiles } from './private-files.js';
import type { RepositoryUrl } from './repository-url.js';

const maxTokenBytes = 8 * 1024;
const maxKeyBytes = 64 * 1024;
// eslint-disable-next-line no-control-regex -- control characters are what it looks for
const controls = /[\u0000-\u001f\u007f]/;

/**
 * Whether a credential can be used for a repository, before it is kept. Throws `GitAccessError` that says what is wrong with
 * it and what to do; never with the token or the key in it. Whether the server takes it, only the server can say.
 */
export async function checkGitCredential(
  credential: GitCredential,
  repository: Pick<RepositoryUrl, 'url' | 'transport'>,
): Promise<void> {
  if (repository.transport === 'file') {
    throw new GitAccessError(`${repository.url} is a path: it is read as it is, without credentials`);
  }
  if (credential.kind === 'https') checkToken(credential, repository);
  else await checkSsh(credential, repository);
}

/** What may be shown of it: `https token of gantry`, `ssh key SHA256:…`. */
export async function describeGitCredential(credential: GitCredential): Promise<string> {
  if (credential.kind === 'https') return `https token of ${credential.user}`;
  return `ssh key ${await fingerprintOf(credential.privateKey)}`;
}

function checkToken(
  { user, token }: Extract<GitCredential, { kind: 'https' }>,
  repository: Pick<RepositoryUrl, 'url' | 'transport'>,
): void {
  if (repository.transport === 'ssh') {
    throw new GitAccessError(
      `${repository.url} is fetched by ssh: give it an ssh key, or write its https URL`,
    );
  }
  if (token === '') throw new GitAccessError('the token is empty');
  // A line end would be a line of its own in what git is told.
  if (controls.test(token)) throw new GitAccessError('the token has a line end or control character in it');
  if (user === '' || controls.test(user) || user.includes(':')) {
    throw new GitAccessError(
      `the user ${JSON.stringify(user)} of the token: expected a name without ":" or control characters`,
    );
  }
  if (Buffer.byteLength(token) > maxTokenBytes) {
    throw new GitAccessError(`the token is longer than ${maxTokenBytes} bytes: is it a token?`);
  }
}

async function checkSsh(
  { privateKey, knownHosts }: Extract<GitCredential, { kind: 'ssh' }>,
  repository: Pick<RepositoryUrl, 'url' | 'transport'>,
): Promise<void> {
  if (repository.transport !== 'ssh') {
    throw new GitAccessError(
      `${repository.url} is fetched by ${repository.transport}: give it a token, or write its ssh URL`,
    );
  }
  await fingerprintOf(privateKey);
  const host = knownHostOf(repository.url);
  const bad = knownHosts.split(/\r?\n/).findIndex((line) => !isKnownHostsLine(line));
  if (bad !== -1) {
    throw new GitAccessError(
      `line ${bad + 1} of the known hosts: expected HOST TYPE KEY, as ssh-keyscan prints it`,
    );
  }
  const files = { known_hosts: withLineEnd(knownHosts) };
  // Names may be hashed, so ssh-keygen looks. It ends with 1 where there is none.
  const { code } = await withPrivateFiles(files, (directory) =>
    sshKeygen(['-F', host.name, '-f', path.join(directory, 'known_hosts')]),
  );
  if (code === 0) return;
  throw new GitAccessError(
    `the known hosts do not have ${host.name}: \`ssh-keyscan ${host.port === undefined ? '' : `-p ${host.port} `}${host.host}\` prints its keys; compare them with what the host's owner says`,
  );
}

/** As known_hosts names it: `host`, or `[host]:port`. */
function knownHostOf(url: string): { name: string; host: string; port?: string } {
  const parsed = url.startsWith('ssh://') ? URL.parse(url) : null;
  if (parsed === null) {
    const host = (/^(?:[^@]*@)?(\[[^\]]*\]|[^:]*):/.exec(url)?.[1] ?? url).replace(/^\[|\]$/g, '');
    return { name: host, host };
  }
  const host = parsed.hostname.replace(/^\[|\]$/g, '');
  return parsed.port === ''
    ? { name: host, host }
    : { name: `[${host}]:${parsed.port}`, host, port: parsed.port };
}

function isKnownHostsLine(line: string): boolean {
  const text = line.trim();
  if (text === '' || text.startsWith('#')) return true;
  return /^(?:@(?:cert-authority|revoked)\s+)?\S+\s+(?:ssh|ecdsa|sk)-[\w@.-]+\s+[A-Za-z0-9+/]+={0,2}(?:\s.*)?$/.test(
    text,
  );
}

/** Of the public half of a private key. Throws `GitAccessError` where there is none to be had. */
async function fingerprintOf(privateKey: string): Promise<string> {
  if (Buffer.byteLength(privateKey) > maxKeyBytes) {
    throw new GitAccessError(`the ssh key is longer than ${maxKeyBytes} bytes: is it a private key?`);
  }
  const { code, stdout, stderr } = await withPrivateFiles({ key: withLineEnd(privateKey) }, (directory) =>
    sshKeygen(['-y', '-P', '', '-f', path.join(directory, 'key')]),
  );
  const blob = /^\S+ ([A-Za-z0-9+/]+={0,2})/.exec(stdout)?.[1];
  if (code === 0 && blob !== undefined) {
    const digest = createHash('sha256').update(Buffer.from(blob, 'base64')).digest('base64');
    return `SHA256:${digest.replace(/=+$/, '')}`;
  }
  if (/incorrect passphrase/i.test(stderr)) {
    throw new GitAccessError(
      'the ssh key has a passphrase, and nobody will be there to type it: give a key of its own (ssh-keygen -t ed25519 -N "" -f FILE)',
    );
  }
  if (/^(?:ssh|ecdsa|sk)-\S+ /.test(privateKey.trim())) {
    throw new GitAccessError('this is the public half of an ssh key (.pub): give the private one');
  }
  throw new GitAccessError(
    'this is not a private ssh key: expected a file that begins with -----BEGIN OPENSSH PRIVATE KEY----- or another -----BEGIN … PRIVATE KEY-----',
  );
}

function sshKeygen(args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const environment = { PATH: process.env['PATH'], LC_ALL: 'C', HOME: '/nonexistent' };
    const child = execFile('ssh-keygen', args, { env: environment }, (error, stdout, stderr) => {
      if (error !== null && 'code' in error && error.code === 'ENOENT') {
        reject(new GitAccessError('ssh-keygen is not on this machine: install OpenSSH (openssh-client)'));
      } else resolve({ code: child.exitCode ?? -1, stdout, stderr });
    });
    child.stdin?.end();
  });
}
