import { describe, expect, test } from 'vitest';
import { checkoutError, looksDamaged } from '../../../shared/git/checkout-failure.js';
import { GitError } from '../../../shared/git/git-program.js';

const context = {
  place: 'agent build-7',
  repository: 'https://u:hunter2@host/a.git',
  revision: 'commit abc',
};
const failed = (stderr: string): GitError => new GitError({ kind: 'exit', exitCode: 128, stderr }, 'fetch');

describe('a failure of git', () => {
  test.each([
    [
      "fatal: unable to access 'https://h/a/': Could not resolve host: h",
      true,
      /not reachable from agent build-7/,
    ],
    [
      "fatal: unable to access 'https://h/': Failed to connect to h port 443: Connection refused",
      true,
      /not reachable/,
    ],
    ["fatal: unable to access 'https://h/': The requested URL returned error: 503", true, /not reachable/],
    [
      'ssh: connect to host h port 22: Connection timed out\nfatal: Could not read from remote repository.',
      true,
      /not reachable/,
    ],
    [
      'fetch-pack: unexpected disconnect while reading sideband packet\nfatal: early EOF',
      true,
      /not reachable/,
    ],
    [
      "fatal: could not read Username for 'https://h': terminal prompts disabled",
      false,
      /demands credentials that agent build-7 does not have/,
    ],
    ["remote: Not Found\nfatal: Authentication failed for 'https://h/a/'", false, /demands credentials/],
    [
      'git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.',
      false,
      /demands credentials/,
    ],
    ['Host key verification failed.\nfatal: Could not read from remote repository.', false, /known hosts/],
    [
      "fatal: unable to access 'https://h/': server certificate verification failed. CAfile: none",
      false,
      /certificate/,
    ],
    ["fatal: repository 'https://h/a/' not found", false, /no git repository/],
    ["fatal: '/srv/a' does not appear to be a git repository", false, /no git repository/],
    ['fatal: remote error: upload-pack: not our ref abc', false, /has no commit abc: push it first/],
    ["fatal: couldn't find remote ref refs/heads/x", false, /has no commit abc/],
    ['error: cannot run ssh: No such file or directory\nfatal: unable to fork', false, /lacks a program/],
    ["error: invalid path '.git/hooks/x'", false, /path that git refuses/],
    ['fatal: something new', true, /git failed on agent build-7.*something new/],
  ])('%j: transient %s', (stderr, transient, message) => {
    const error = checkoutError(failed(stderr), context);
    expect(error.failure).toMatchObject({ kind: 'checkout-failed', transient });
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain('hunter2');
  });

  test('on a full disk is the disk of that agent', () => {
    const error = checkoutError(failed('fatal: write error: No space left on device'), context);
    expect(error.failure).toMatchObject({ kind: 'disk-full', agent: 'build-7' });
  });

  test('keeps its cause and gives no password away that a server repeats', () => {
    const cause = failed("fatal: odd answer from 'https://u:hunter2@host/a.git'");
    const error = checkoutError(cause, context);
    expect(error.cause).toBe(cause);
    expect(error.message).not.toContain('hunter2');
    expect(checkoutError(error, context)).toBe(error);
  });

  test('is told to be damage only where a new copy can help', () => {
    expect(looksDamaged(failed('fatal: bad object HEAD'))).toBe(true);
    expect(
      looksDamaged(failed('error: object file objects/ab/cd is empty\nfatal: loose object abcd is corrupt')),
    ).toBe(true);
    expect(looksDamaged(failed("fatal: unable to access 'https://h/': Could not resolve host: h"))).toBe(
      false,
    );
    expect(looksDamaged(failed('fatal: Could not read from remote repository.\n\nPlease make sure'))).toBe(
      false,
    );
    expect(looksDamaged(failed('remote: fatal: bad object HEAD'))).toBe(false);
    // What git says of a commit that the server does not have (any more).
    const gone = 'fatal: remote error: upload-pack: not our ref abcd\nfatal: bad object abcd';
    expect(looksDamaged(failed(gone))).toBe(false);
    expect(looksDamaged(new Error('bad object'))).toBe(false);
  });
});
