/** What a token of the directory allows, and what its holder is told when it does not any more. */
import { describe, expect, it } from 'vitest';
import { directoryCaller, ownerCaller, standingOf } from '../../../coordinator/access/caller.js';
import type { AccessToken, User } from '../../../coordinator/access/directory.js';
import { Reach } from '../../../coordinator/access/reach.js';
import { maySeeSecrets } from '../../../coordinator/access/secrets-right.js';
import {
  TokenError,
  isLeaseProof,
  issueToken,
  leaseProof,
  makeDirectoryToken,
  readToken,
} from '../../../coordinator/access/tokens.js';
import { projectOf } from '../../../shared/git/repository-url.js';
import { agentId, runId, token as attemptToken } from '../scheduler/ids.js';

const now = 1_000_000_000_000;
const key = Buffer.alloc(32, 7);

const user = (changes: Partial<User> = {}): User => ({
  name: 'ann',
  role: 'developer',
  mails: [],
  maySeeSecrets: false,
  projects: [],
  createdAt: 1,
  createdBy: 'root',
  ...changes,
});

/** A directory of one user and one token, and the token's text. */
function given(changes: { user?: Partial<User>; token?: Partial<AccessToken>; gone?: boolean } = {}) {
  const made = makeDirectoryToken();
  const one = user(changes.user);
  const token: AccessToken = {
    id: made.id,
    user: one.name,
    hash: made.hash,
    scope: 'write',
    projects: [],
    createdAt: 1,
    createdBy: 'root',
    note: '',
    ...changes.token,
  };
  const directory = {
    user: (name: string) => (changes.gone !== true && name === one.name ? one : undefined),
    token: (id: string) => (id === token.id ? token : undefined),
  };
  const bearer = readToken(key, made.text, now / 1000);
  if (bearer.kind !== 'token') throw new Error('not a token of the directory');
  return { directory, bearer, text: made.text, call: () => directoryCaller(directory, bearer, now) };
}

describe('a token', () => {
  it('acts for its user, by the lesser of role and scope', () => {
    expect(given().call()).toMatchObject({ name: 'ann', role: 'developer', right: 'write' });
    expect(given({ token: { scope: 'read' } }).call().right).toBe('read');
    // The role went down after the token was made.
    expect(given({ token: { scope: 'admin' } }).call().right).toBe('write');
    expect(given({ user: { role: 'admin' }, token: { scope: 'admin' } }).call().right).toBe('admin');
  });

  it('reaches what both its user and itself are limited to', () => {
    const reach = given({ user: { projects: ['h/a', 'h/b'] }, token: { projects: ['h/b', 'h/c'] } }).call()
      .reach;
    expect(['h/a', 'h/b', 'h/c'].map((name) => reach.has(projectOf(name).id))).toEqual([false, true, false]);
    // Limits that have nothing in common are not no limit.
    const none = given({ user: { projects: ['h/a'] }, token: { projects: ['h/b'] } }).call().reach;
    expect(none.isLimited).toBe(true);
    expect(['h/a', 'h/b', 'h/c'].some((name) => none.has(projectOf(name).id))).toBe(false);
    expect(given().call().reach.isLimited).toBe(false);
  });

  it('that is expired, revoked or of a removed user says so, each in its words', () => {
    const words = (changes: Parameters<typeof given>[0]): string => {
      try {
        given(changes).call();
      } catch (error) {
        if (error instanceof TokenError) return error.message;
      }
      return 'allowed';
    };
    expect(words({ token: { expiresAt: now + 1 } })).toBe('allowed');
    expect(words({ token: { expiresAt: now } })).toContain('expired at 2001-09-09T01:46:40.000Z');
    expect(words({ token: { ended: { at: 1, why: 'revoked' } } })).toContain('revoked');
    expect(words({ token: { ended: { at: 1, why: 'user-removed' } } })).toContain('ann, who was removed');
    expect(words({ gone: true })).toContain('ann, who was removed');
  });

  it('says nothing to whoever has only its id', () => {
    const revoked = given({ token: { ended: { at: 1, why: 'revoked' } } });
    const guess = (id: string, secret: string): string => {
      try {
        directoryCaller(revoked.directory, { kind: 'token', id, secret }, now);
      } catch (error) {
        if (error instanceof TokenError) return error.message;
      }
      return 'allowed';
    };
    const wrong = guess(revoked.bearer.id, 'x'.repeat(43));
    expect(wrong).toBe(guess('aaaaaaaaaaaaaaaa', revoked.bearer.secret));
    expect(wrong).not.toContain('revoked');
  });

  it('is looked at again while a call lasts', () => {
    const { directory, bearer } = given({ token: { expiresAt: now + 10 } });
    expect(standingOf(directory, bearer.id, now).name).toBe('ann');
    expect(() => standingOf(directory, bearer.id, now + 10)).toThrow(/expired/);
  });

  it('has 256 random bits, and is not in what is kept of it', () => {
    const { text, id, hash } = makeDirectoryToken();
    const [, secret = ''] = text.split('.');
    expect(text).toMatch(/^gantry_token_[a-z2-7]{16}\.[A-Za-z0-9_-]{43}$/);
    expect(`${id} ${hash}`).not.toContain(secret);
    expect(makeDirectoryToken().text).not.toBe(text);
  });
});

describe('the owner’s token', () => {
  it('is made with the installation’s key, and with no other', () => {
    const text = issueToken(key, { kind: 'user', name: 'root' });
    const read = readToken(key, text, now / 1000);
    if (read.kind !== 'user') throw new Error('not the owner’s');
    expect(ownerCaller(read)).toMatchObject({ right: 'admin', role: 'admin', maySeeSecrets: true });
    expect(() => readToken(Buffer.alloc(32, 8), text, now / 1000)).toThrow(TokenError);
  });
});

describe('secrets', () => {
  const project = projectOf('h/a').id;
  const by = (changes: Parameters<typeof given>[0]) => given(changes).call();
  const submitted = { trust: 'submit', project } as const;

  it('are for what is on a branch, whoever asks', () => {
    expect(maySeeSecrets({ trust: 'branch', project }, undefined)).toBe(true);
    expect(maySeeSecrets({ trust: 'branch', project }, by({ token: { scope: 'read' } }))).toBe(true);
  });
  it('are for a submitted tree by its user’s right alone', () => {
    expect(maySeeSecrets(submitted, undefined)).toBe(false);
    expect(maySeeSecrets(submitted, by({}))).toBe(false);
    expect(maySeeSecrets(submitted, by({ user: { maySeeSecrets: true } }))).toBe(true);
    expect(maySeeSecrets(submitted, by({ user: { role: 'admin' } }))).toBe(true);
  });
  it('are not for a token that may not write, or does not reach the project', () => {
    const trusted = { maySeeSecrets: true, role: 'admin' } as const;
    expect(maySeeSecrets(submitted, by({ user: trusted, token: { scope: 'read' } }))).toBe(false);
    expect(maySeeSecrets(submitted, by({ user: trusted, token: { projects: ['h/b'] } }))).toBe(false);
    expect(maySeeSecrets(submitted, by({ user: trusted, token: { projects: ['h/a'] } }))).toBe(true);
  });
  it('are never for a proposed change or a fork', () => {
    for (const trust of ['change', 'fork'] as const)
      expect(maySeeSecrets({ trust, project }, by({ user: { role: 'admin' } }))).toBe(false);
  });
});

describe('the proof of a lease', () => {
  const lease = { agent: agentId(1), ref: { run: runId(1), stage: 1, attempt: 1 }, token: attemptToken(5) };
  const proof = leaseProof(key, lease);

  it('holds for that agent, attempt, token and installation', () => {
    expect(isLeaseProof(key, lease, proof)).toBe(true);
    const others = [
      { ...lease, agent: agentId(2) },
      { ...lease, token: attemptToken(6) },
      { ...lease, ref: { ...lease.ref, attempt: 2 } },
      { ...lease, ref: { ...lease.ref, run: runId(2) } },
    ];
    for (const other of others) expect(isLeaseProof(key, other, proof)).toBe(false);
    expect(isLeaseProof(Buffer.alloc(32, 8), lease, proof)).toBe(false);
    expect(isLeaseProof(key, lease, undefined)).toBe(false);
    expect(isLeaseProof(key, lease, '')).toBe(false);
  });
});

it('a limit names what it reaches', () => {
  expect(new Reach([], []).description).toBe('all projects');
  expect(new Reach(['h/a', 'h/b']).description).toBe('h/a, h/b');
  expect(new Reach(['h/a'], ['h/b']).description).toBe('no project');
});
