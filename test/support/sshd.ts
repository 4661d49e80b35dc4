/** A real sshd on loopback for one test: its own host key, its own configuration, one key that may log in. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { eventually } from './eventually.js';
import { freePort } from './nats.js';

const execute = promisify(execFile);

export interface Sshd {
  readonly port: number;
  /** May log in. */
  readonly privateKey: string;
  /** Another one, which may not. */
  readonly strangersKey: string;
  /** Lines with the host's key, as ssh-keyscan would print them. */
  readonly knownHosts: string;
  /** URL of a repository on this machine. */
  url(repository: string): string;
  /** What it said so far. */
  words(): string;
  close(): Promise<void>;
}

/** Makes a key pair without a passphrase at `file` and `file.pub`. */
export async function makeSshKey(file: string, passphrase = ''): Promise<string> {
  await execute('ssh-keygen', ['-q', '-t', 'ed25519', '-N', passphrase, '-C', 'test', '-f', file]);
  return readFile(file, 'utf8');
}

export async function startSshd(): Promise<Sshd> {
  const directory = await mkdtemp(path.join(tmpdir(), 'gantry-sshd-'));
  const at = (name: string): string => path.join(directory, name);
  const port = await freePort();
  await makeSshKey(at('host'));
  const privateKey = await makeSshKey(at('user'));
  const strangersKey = await makeSshKey(at('stranger'));
  await writeFile(at('authorized'), await readFile(at('user.pub'), 'utf8'), { mode: 0o600 });
  await writeFile(
    at('config'),
    [
      `ListenAddress 127.0.0.1:${port}`,
      `HostKey ${at('host')}`,
      `AuthorizedKeysFile ${at('authorized')}`,
      'PidFile none',
      'UsePAM no',
      'StrictModes no',
      'PasswordAuthentication no',
      'KbdInteractiveAuthentication no',
      'PermitRootLogin yes',
      'LogLevel VERBOSE',
      '',
    ].join('\n'),
  );
  // As root it changes into this directory, which Debian's service makes at its start.
  if (process.getuid?.() === 0) await mkdir('/run/sshd', { recursive: true, mode: 0o755 });
  const child = spawn('/usr/sbin/sshd', ['-D', '-e', '-f', at('config')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let words = '';
  child.stderr.on('data', (chunk: Buffer) => {
    words += chunk.toString();
  });
  const exited = once(child, 'exit');
  await eventually('sshd answers', async () => {
    if (child.exitCode !== null) throw new Error(`sshd ended: ${words}`);
    return answers(port);
  });
  const [type = '', key = ''] = (await readFile(at('host.pub'), 'utf8')).split(' ');
  return {
    port,
    privateKey,
    strangersKey,
    knownHosts: `[127.0.0.1]:${port} ${type} ${key}\n`,
    url: (repository) => `ssh://${userInfo().username}@127.0.0.1:${port}${repository}`,
    words: () => words,
    close: async () => {
      child.kill('SIGKILL');
      await exited;
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false; // Not yet.
  } finally {
    socket.destroy();
  }
}
