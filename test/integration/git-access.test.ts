/** Credentials of projects against real servers: who gets them, who does not, and what is left afterwards. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import ts from 'typescript';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { GitMirror } from '../../agent/workspace/git-mirror.js';
import { readPipelineAt } from '../../coordinator/source/pipeline-at.js';
import { checkGitCredential, describeGitCredential } from '../../shared/git/check-credential.js';
import { CheckoutError } from '../../shared/git/checkout-failure.js';
import type { GitCredential } from '../../shared/git/credential.js';
import { withGitAccess } from '../../shared/git/git-access.js';
import { runGit } from '../../shared/git/git-program.js';
import { removeLeftovers, withPrivateFiles } from '../../shared/git/private-files.js';
import { normalizeRepositoryUrl } from '../../shared/git/repository-url.js';
import { serveGit, type GitHttp, type GitHttpOptions } from '../support/git-http.js';
import { commitIdOf, temporaryDirectory, TestRepository } from '../support/repositories.js';
import { makeSshKey, startSshd, type Sshd } from '../support/sshd.js';

let directory: string;
let remove: () => Promise<void>;
let origin: TestRepository;
const servers: GitHttp[] = [];

beforeEach(async () => {
  ({ path: directory, remove } = await temporaryDirectory());
  origin = await TestRepository.make(path.join(directory, 'origin.git'));
  await origin.write({ '.gantry.yml': 'stages: {}\n' });
  await origin.commit('First');
});
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
  await remove();
});

async function serve(options: Omit<GitHttpOptions, 'root'> = {}): Promise<GitHttp> {
  const server = await serveGit({ root: directory, ...options });
  servers.push(server);
  return server;
}

const token = 'gantry-t0ken+/=:@%20';
const basic = { user: 'gantry', password: token };
const right: GitCredential = { kind: 'https', user: 'gantry', token };

/** What `git ls-remote` says. */
const refsOf = (url: string, credential?: GitCredential): Promise<string> =>
  withGitAccess({ repository: normalizeRepositoryUrl(url), credential }, async (environment) => {
    const args = ['ls-remote', '--end-of-options', url];
    return (await runGit({ args, environment })).stdout.toString();
  });

const pipelineAt = (url: string, credential?: GitCredential) =>
  readPipelineAt({
    url,
    commitish: 'main',
    roots: [],
    cacheDirectory: path.join(directory, 'cache'),
    signal: AbortSignal.timeout(60_000),
    ...(credential === undefined ? {} : { credential }),
  });

async function mirrored(url: string, credential: GitCredential | undefined): Promise<string> {
  const mirror = await GitMirror.open({
    directory: path.join(directory, 'mirrors'),
    roots: [],
    place: 'agent build-7',
    discard: () => Promise.resolve(),
  });
  const commit = commitIdOf(await origin.git('rev-parse', 'HEAD'));
  const signal = AbortSignal.timeout(60_000);
  return mirror.withCommit(
    { url, commit, ref: 'refs/heads/main', credential: () => Promise.resolve(credential), signal },
    (found) => Promise.resolve(found.directory),
  );
}

const failureOf = async (work: Promise<unknown>): Promise<string> => {
  const error: unknown = await work.catch((reason: unknown) => reason);
  if (!(error instanceof CheckoutError)) throw new Error('no CheckoutError', { cause: error });
  expect(error.failure).toMatchObject({ kind: 'checkout-failed', transient: false });
  return error.message;
};

/** Everything below a directory, in one. */
async function contents(root: string): Promise<string> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return (
    await Promise.all(files.map((file) => readFile(path.join(file.parentPath, file.name), 'latin1')))
  ).join('\n');
}

/** Directories of private files of this process. */
const privateDirectories = async (): Promise<readonly string[]> =>
  (await readdir('/dev/shm')).filter((name) => name.includes(`-${process.pid}-`));

describe('a token', () => {
  test('opens the repository to coordinator and agent, and is written down by neither', async () => {
    const { url } = await serve({ basic });
    expect(await pipelineAt(`${url}/origin.git`, right)).toMatchObject({ text: 'stages: {}\n' });
    await mirrored(`${url}/origin.git`, right);
    const kept = `${await contents(path.join(directory, 'cache'))}${await contents(path.join(directory, 'mirrors'))}`;
    expect(kept).not.toContain(token);
    expect(kept).not.toContain(Buffer.from(`gantry:${token}`).toString('base64'));
  });

  test('goes out only when it is asked for', async () => {
    const open = await serve();
    await refsOf(`${open.url}/origin.git`, right);
    expect(open.requests.length).toBeGreaterThan(0);
    expect(open.requests.some(({ authorized }) => authorized)).toBe(false);
  });

  test('that is wrong, or missing, is told without showing it', async () => {
    const server = await serve({ basic });
    const url = `${server.url}/origin.git`;
    for (const credential of [{ ...right, token: 'wrong-t0ken' }, undefined]) {
      const said = [await failureOf(pipelineAt(url, credential)), await failureOf(mirrored(url, credential))];
      for (const message of said) {
        expect(message).toMatch(/demands credentials.*gantry projects set/);
        expect(message).not.toContain('wrong-t0ken');
      }
    }
  });

  test('is in no list of processes while git runs', async () => {
    const server = await serve({ basic });
    const repository = normalizeRepositoryUrl(`${server.url}/origin.git`);
    await withGitAccess({ repository, credential: right }, async (environment) => {
      server.answer = 'hang';
      const over = new AbortController();
      const running = runGit({ args: ['ls-remote', repository.url], environment, signal: over.signal });
      running.catch(() => undefined);
      await expect
        .poll(() => server.requests.filter(({ authorized }) => authorized).length)
        .toBeGreaterThan(0);
      const lines = await commandLines();
      expect(lines).toContain('ls-remote');
      expect(lines).not.toContain(token);
      over.abort(new Error('enough'));
      await running.catch(() => undefined);
    });
  });

  describe('over https', () => {
    let tls: { key: string; cert: string };
    beforeEach(async () => {
      const [key, cert] = [path.join(directory, 'key.pem'), path.join(directory, 'cert.pem')];
      const names = ['-subj', '/CN=git', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost'];
      const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
      await promisify(execFile)('openssl', [
        'req',
        '-x509',
        ...curve,
        ...names,
        '-keyout',
        key,
        '-out',
        cert,
      ]);
      tls = { key: await readFile(key, 'utf8'), cert: await readFile(cert, 'utf8') };
      process.env['GIT_SSL_CAINFO'] = cert;
    });
    afterEach(() => {
      delete process.env['GIT_SSL_CAINFO'];
    });

    test('reads the repository', async () => {
      const { url } = await serve({ basic, tls });
      expect(await refsOf(`${url}/origin.git`, right)).toContain('refs/heads/main');
    });

    test('is not carried by a redirect to another host, whether that one asks for it or not', async () => {
      for (const thief of [await serve({ tls }), await serve({ tls, answer: 401 })]) {
        const to = thief.url.replace('127.0.0.1', 'localhost');
        const server = await serve({ basic, tls, redirect: to });
        // git 2.39 gets lost after such a redirect; what counts is what the other host was sent.
        await refsOf(`${server.url}/origin.git`, right).catch(() => undefined);
        expect(server.requests.some(({ authorized }) => authorized)).toBe(true);
        expect(thief.requests.length).toBeGreaterThan(0);
        expect(thief.requests.filter(({ authorized }) => authorized)).toEqual([]);
      }
    });

    test('is not given for another repository of the same host', async () => {
      const server = await serve({ basic, tls });
      const repository = normalizeRepositoryUrl(`${server.url}/other.git`);
      await withGitAccess({ repository, credential: right }, async (environment) => {
        const args = ['ls-remote', '--end-of-options', `${server.url}/origin.git`];
        await expect(runGit({ args, environment })).rejects.toThrow();
      });
      expect(server.requests.some(({ authorized }) => authorized)).toBe(false);
    });
  });
});

describe('an ssh key', () => {
  let sshd: Sshd;
  beforeAll(async () => {
    sshd = await startSshd();
  });
  afterAll(() => sshd.close());
  const credential = (changes: Partial<Extract<GitCredential, { kind: 'ssh' }>> = {}): GitCredential => ({
    kind: 'ssh',
    privateKey: sshd.privateKey,
    knownHosts: sshd.knownHosts,
    ...changes,
  });

  test('opens the repository to coordinator and agent, and is gone afterwards', async () => {
    const url = sshd.url(origin.directory);
    expect(await pipelineAt(url, credential()), sshd.words()).toMatchObject({ text: 'stages: {}\n' });
    await mirrored(url, credential());
    expect(await privateDirectories()).toEqual([]);
    const kept = `${await contents(path.join(directory, 'cache'))}${await contents(path.join(directory, 'mirrors'))}`;
    expect(kept).not.toContain('PRIVATE KEY');
  });

  test('works without the line end that a form cuts off, and with the line ends of Windows', async () => {
    const url = sshd.url(origin.directory);
    expect(await refsOf(url, credential({ privateKey: sshd.privateKey.trimEnd() }))).toContain('main');
    const windows = sshd.privateKey.replaceAll('\n', '\r\n');
    expect(await refsOf(url, credential({ privateKey: windows }))).toContain('main');
  });

  test('lies in memory, for nobody else to read, while git runs; the list of processes shows its path only', async () => {
    const repository = normalizeRepositoryUrl(sshd.url(origin.directory));
    await withGitAccess({ repository, credential: credential() }, async (environment) => {
      const [name = ''] = await privateDirectories();
      const at = path.join('/dev/shm', name);
      expect((await stat(at)).mode & 0o777).toBe(0o700);
      expect((await stat(path.join(at, 'key'))).mode & 0o777).toBe(0o600);
      expect(environment['GIT_SSH_COMMAND']).toContain(at);
      expect(environment['SSH_AUTH_SOCK']).toBeUndefined();
      await runGit({ args: ['ls-remote', repository.url], environment });
    });
    expect(await privateDirectories()).toEqual([]);
  });

  test('of a stranger is refused', async () => {
    const message = await failureOf(
      pipelineAt(sshd.url(origin.directory), credential({ privateKey: sshd.strangersKey })),
    );
    expect(message).toMatch(/demands credentials/);
  });

  test('is not shown to a host whose key is another than the project knows, nor to one that it does not know', async () => {
    const url = sshd.url(origin.directory);
    const other = await makeSshKey(path.join(directory, 'other')).then(() =>
      readFile(path.join(directory, 'other.pub'), 'utf8'),
    );
    const [type = '', key = ''] = other.split(' ');
    const before = sshd.words().length;
    for (const knownHosts of [`[127.0.0.1]:${sshd.port} ${type} ${key}\n`, `example.org ${type} ${key}\n`]) {
      expect(await failureOf(pipelineAt(url, credential({ knownHosts })))).toMatch(/ssh key of the host/);
    }
    expect(sshd.words().slice(before)).not.toContain('Accepted');
    expect(await privateDirectories()).toEqual([]);
  });

  test('is checked before it is kept, and shown by its fingerprint', async () => {
    const repository = normalizeRepositoryUrl(sshd.url(origin.directory));
    await checkGitCredential(credential(), repository);
    await writeFile(path.join(directory, 'key'), sshd.privateKey, { mode: 0o600 });
    const listed = await promisify(execFile)('ssh-keygen', ['-l', '-f', path.join(directory, 'key')]);
    const fingerprint = /SHA256:\S+/.exec(listed.stdout)?.[0] ?? 'none';
    expect(await describeGitCredential(credential())).toBe(`ssh key ${fingerprint}`);
    const publicKey = await promisify(execFile)('ssh-keygen', ['-y', '-f', path.join(directory, 'key')]);
    const locked = await makeSshKey(path.join(directory, 'locked'), 'a passphrase');
    const wrong: readonly [GitCredential, RegExp][] = [
      [credential({ privateKey: 'hello' }), /not a private ssh key/],
      [credential({ privateKey: publicKey.stdout }), /public half/],
      [credential({ privateKey: locked }), /has a passphrase/],
      [credential({ knownHosts: 'what is this' }), /line 1 of the known hosts/],
      [credential({ knownHosts: sshd.knownHosts.replace(/^\S+/, 'example.org') }), /ssh-keyscan -p \d+ 127/],
      [right, /fetched by ssh: give it an ssh key/],
    ];
    for (const [each, message] of wrong)
      await expect(checkGitCredential(each, repository)).rejects.toThrow(message);
    const hashed = await hashedHosts(sshd.knownHosts);
    await checkGitCredential(credential({ knownHosts: hashed }), repository);
    await expect(
      checkGitCredential(credential(), normalizeRepositoryUrl('https://example.org/a/b')),
    ).rejects.toThrow(/fetched by https: give it a token/);
    await expect(checkGitCredential(right, normalizeRepositoryUrl(origin.directory))).rejects.toThrow(
      /is a path/,
    );
    await checkGitCredential(right, normalizeRepositoryUrl('https://example.org/a/b'));
    for (const bad of ['', 'two\nlines']) {
      await expect(
        checkGitCredential({ ...right, token: bad }, normalizeRepositoryUrl('https://example.org/a/b')),
      ).rejects.toThrow(/the token/);
    }
    expect(await privateDirectories()).toEqual([]);
  });

  /** As `HashKnownHosts` writes them. */
  async function hashedHosts(knownHosts: string): Promise<string> {
    const file = path.join(directory, 'known_hosts');
    await writeFile(file, knownHosts);
    await promisify(execFile)('ssh-keygen', ['-q', '-H', '-f', file]);
    return readFile(file, 'utf8');
  }
});

describe('private files', () => {
  test('that a killed process left are removed, those of a living one are not', async () => {
    const source = await readFile('shared/git/private-files.ts', 'utf8');
    const compiled = ts.transpileModule(source, { compilerOptions: { module: ts.ModuleKind.ESNext } });
    const file = path.join(directory, 'leave.mjs');
    await writeFile(
      file,
      `${compiled.outputText}
       await withPrivateFiles({ key: 'left behind' }, (at) => new Promise(() => { console.log(at); setInterval(() => 0, 1e6); }));`,
    );
    const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const left = line.toString().trim();
    await withPrivateFiles({ key: 'mine' }, async (mine) => {
      await removeLeftovers('/dev/shm');
      expect((await stat(left)).isDirectory()).toBe(true);
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
      await removeLeftovers('/dev/shm');
      await expect(stat(left)).rejects.toThrow('ENOENT');
      expect(await readFile(path.join(mine, 'key'), 'utf8')).toBe('mine');
    });
  });
});

/** Of all processes that this one may see. */
async function commandLines(): Promise<string> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(
    pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')), // ended meanwhile
  );
  return lines.join('\n').replaceAll('\0', ' ');
}
