import { readFile, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { isolatedEnvironment, usersEnvironment } from '../../shared/git/git-environment.js';
import { gitAnswers, GitError, gitText, runGit } from '../../shared/git/git-program.js';
import { eventually } from '../support/eventually.js';
import { serveGit, type GitHttp } from '../support/git-http.js';
import { git, temporaryDirectory } from '../support/repositories.js';

let directory: string;
let remove: () => Promise<void>;
const servers: GitHttp[] = [];

beforeEach(async () => {
  ({ path: directory, remove } = await temporaryDirectory());
  await git(directory, 'init', '--quiet');
});
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
  await remove();
});

const environment = isolatedEnvironment();
const failureOf = async (work: Promise<unknown>): Promise<GitError['failure']> => {
  const error: unknown = await work.catch((reason: unknown) => reason);
  if (!(error instanceof GitError)) throw new Error('no GitError', { cause: error });
  return error.failure;
};

/** Processes, by command line, that work on something in the test's directory. */
async function processesHere(): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''); // ended meanwhile
    if (line.includes(directory)) found.push(line.replaceAll('\0', ' '));
  }
  return found;
}

describe('running git', () => {
  test('gives its output, and answers questions by its exit code', async () => {
    expect(await gitText({ args: ['rev-parse', '--git-dir'], environment, cwd: directory })).toBe('.git');
    expect(await gitAnswers({ args: ['check-ref-format', 'refs/heads/a'], environment })).toBe(true);
    expect(await gitAnswers({ args: ['check-ref-format', 'refs/heads/a..b'], environment })).toBe(false);
    const input = Buffer.from('content');
    expect(await gitText({ args: ['hash-object', '--stdin'], environment, cwd: directory, input })).toBe(
      '6b584e8ece562ebffc15d38808cd6b98fc3d97ea',
    );
  });

  test('throws what git said, with its exit code', async () => {
    const failure = await failureOf(
      runGit({ args: ['rev-parse', '--verify', 'nothing'], environment, cwd: directory }),
    );
    expect(failure).toEqual({ kind: 'exit', exitCode: 128, stderr: 'fatal: Needed a single revision' });
    await expect(gitAnswers({ args: ['no-such-command'], environment })).resolves.toBe(false);
  });

  test('without git on the machine says so', async () => {
    const failure = await failureOf(runGit({ args: ['version'], environment: { PATH: directory } }));
    expect(failure.kind).toBe('git-missing');
  });

  test('with more output than allowed ends it', async () => {
    await writeFile(path.join(directory, 'big'), Buffer.alloc(4 * 1024 * 1024));
    const blob = await git(directory, 'hash-object', '-w', 'big');
    const failure = await failureOf(
      runGit({ args: ['cat-file', 'blob', blob], environment, cwd: directory, maxStdoutBytes: 100_000 }),
    );
    expect(failure).toEqual({ kind: 'output-limit', limitBytes: 100_000 });
  });

  test('ends git and its helpers when the signal aborts, and throws its reason', async () => {
    const server = await serveGit({ root: directory, answer: 'hang' });
    servers.push(server);
    const cancel = new AbortController();
    const running = runGit({
      args: ['ls-remote', `${server.url}${directory}`],
      environment: isolatedEnvironment({ transport: 'http' }),
      signal: cancel.signal,
    });
    await eventually('git asked the server', () => server.requests.length > 0);
    expect((await processesHere()).some((line) => line.includes('remote-http'))).toBe(true);
    const reason = new Error('not wanted');
    cancel.abort(reason);
    await expect(running).rejects.toBe(reason);
    await eventually('no process is left', async () => (await processesHere()).length === 0);
  });

  test('ends a git that makes no progress', async () => {
    const server = await serveGit({ root: directory, answer: 'hang' });
    servers.push(server);
    const failure = await failureOf(
      runGit({
        args: ['ls-remote', `${server.url}${directory}`],
        environment: isolatedEnvironment({ transport: 'http' }),
        idleMs: 300,
      }),
    );
    expect(failure).toMatchObject({ kind: 'stalled', idleMs: 300 });
    await eventually('no process is left', async () => (await processesHere()).length === 0);
  });

  test('does not start when the signal has aborted', async () => {
    const reason = new Error('too late');
    await expect(runGit({ args: ['version'], environment, signal: AbortSignal.abort(reason) })).rejects.toBe(
      reason,
    );
  });
});

describe('the isolated environment', () => {
  test('lets one transport through and no other', async () => {
    const attempt = (
      transport: 'none' | 'https' | 'file' | 'ssh',
      url: string,
    ): Promise<GitError['failure']> =>
      failureOf(
        runGit({ args: ['ls-remote', url], environment: isolatedEnvironment({ transport }), cwd: '/' }),
      );
    const notAllowed = { stderr: expect.stringContaining('not allowed') as string };
    expect(await attempt('https', `file://${directory}`)).toMatchObject(notAllowed);
    expect(await attempt('https', 'http://127.0.0.1:9/x')).toMatchObject(notAllowed);
    expect(await attempt('file', 'https://127.0.0.1:9/x')).toMatchObject(notAllowed);
    expect(await attempt('ssh', `ext::sh -c "touch ${directory}/owned"`)).toMatchObject(notAllowed);
    expect(await attempt('none', `file://${directory}`)).toMatchObject(notAllowed);
    const allowed = {
      args: ['ls-remote', `file://${directory}`],
      environment: isolatedEnvironment({ transport: 'file' }),
    };
    await expect(runGit(allowed)).resolves.toBeDefined();
  });

  test('knows nothing of system, user and hooks', async () => {
    const shown = await gitText({ args: ['config', '--list', '--show-scope'], environment, cwd: '/' });
    expect(new Set(shown.split('\n').map((line) => line.split('\t')[0]))).toEqual(new Set(['command']));
    expect(shown).toContain('core.hookspath=/dev/null');
    expect(environment['HOME']).toBe('/nonexistent');
  });
});

describe("the user's environment", () => {
  test('keeps configuration that came by the environment and adds to it', async () => {
    Object.assign(process.env, {
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: 'user.name',
      GIT_CONFIG_VALUE_0: 'Grace',
    });
    try {
      const ask = (key: string): Promise<string> =>
        gitText({ args: ['config', key], environment: usersEnvironment(), cwd: directory });
      expect(await ask('user.name')).toBe('Grace');
      expect(await ask('core.hooksPath')).toBe('/dev/null');
    } finally {
      for (const name of ['GIT_CONFIG_COUNT', 'GIT_CONFIG_KEY_0', 'GIT_CONFIG_VALUE_0']) {
        Reflect.deleteProperty(process.env, name);
      }
    }
  });
});
