/** git's words about a push, as servers of today say them. */
import { describe, expect, it } from 'vitest';
import { readPush, type PushOutcome } from '../../../coordinator/source/push-answer.js';

const rejected = (why: string, ...remote: readonly string[]): string =>
  [
    ...remote.map((line) => `remote: ${line}`),
    'To https://git.example.org/app.git',
    ` ! [remote rejected] 1a2b -> main (${why})`,
    "error: failed to push some refs to 'https://git.example.org/app.git'",
  ].join('\n');

const cases: readonly (readonly [string, string, PushOutcome['kind']])[] = [
  ['the lease does not hold', ' ! [rejected] 1a2b -> main (stale info)', 'moved'],
  ['somebody was faster', ' ! [rejected] 1a2b -> main (fetch first)', 'moved'],
  ['the ref was locked by another push', rejected('failed to update ref'), 'moved'],
  [
    'the old value is not what was advertised',
    rejected("cannot lock ref 'refs/heads/main': is at 1 but expected 2"),
    'moved',
  ],
  [
    'a hook looks at content',
    rejected('pre-receive hook declined', 'no file above 10 MB'),
    'refused-content',
  ],
  [
    'an update hook looks at content',
    rejected('hook declined', 'message without a ticket'),
    'refused-content',
  ],
  [
    'our own protection',
    rejected('hook declined', 'gantry gate: protected: refs/heads/main is moved by the gate alone'),
    'refused-credentials',
  ],
  [
    'GitLab protects the branch',
    rejected(
      'pre-receive hook declined',
      'GitLab: You are not allowed to push code to protected branches on this project.',
    ),
    'refused-credentials',
  ],
  [
    'GitHub protects the branch',
    rejected(
      'protected branch hook declined',
      'error: GH006: Protected branch update failed for refs/heads/main.',
    ),
    'refused-credentials',
  ],
  ['Gerrit', rejected('prohibited by Gerrit: not permitted: update'), 'refused-credentials'],
  ['a checked-out branch', rejected('branch is currently checked out'), 'refused-credentials'],
  [
    'no credentials',
    "fatal: could not read Username for 'https://git.example.org': terminal prompts disabled",
    'refused-credentials',
  ],
  [
    'a token that may only read',
    "fatal: unable to access 'https://x/': The requested URL returned error: 403",
    'refused-credentials',
  ],
  [
    'ssh says no',
    'git@git.example.org: Permission denied (publickey).\nfatal: Could not read from remote repository.',
    'refused-credentials',
  ],
  ['the server is away', "fatal: unable to access 'https://x/': Failed to connect to x port 443", 'unknown'],
  [
    'the connection broke in the middle',
    'fatal: the remote end hung up unexpectedly\nfatal: early EOF',
    'unknown',
  ],
  [
    'the server says nothing of the ref',
    ' ! [remote failure] 1a2b -> main (remote failed to report status)',
    'unknown',
  ],
  ['the server has no disk', rejected('unpacker error'), 'unknown'],
];

describe('A push that did not succeed', () => {
  it.each(cases)('%s', (_name, stderr, kind) => {
    expect(readPush(stderr).kind).toBe(kind);
  });

  it('says what the server said, and no more than a journal takes', () => {
    const said = readPush(
      rejected('pre-receive hook declined', 'no file above 10 MB', '', 'see the handbook'),
    );
    expect(said).toEqual({ kind: 'refused-content', message: 'no file above 10 MB\nsee the handbook' });
    const long = readPush(rejected('pre-receive hook declined', 'x'.repeat(5_000)));
    expect('message' in long && long.message.length).toBe(1_000);
  });

  it('is never said to have a password in it', () => {
    const said = readPush("fatal: unable to access 'https://ci:hunter2@x.example/': Failed to connect");
    expect(JSON.stringify(said)).not.toContain('hunter2');
  });
});
