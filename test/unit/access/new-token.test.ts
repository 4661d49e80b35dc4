/** A token never allows more than its user, nor more than the token it was made with. */
import { describe, expect, it } from 'vitest';
import type { UserCaller } from '../../../coordinator/access/caller.js';
import type { User } from '../../../coordinator/access/directory.js';
import { Reach } from '../../../coordinator/access/reach.js';
import { ApiError } from '../../../coordinator/api/api-error.js';
import { mailsOf, noteOf, projectNames, userName } from '../../../coordinator/api/access-fields.js';
import { termsOf, type TokenWish } from '../../../coordinator/api/new-token.js';
import { parseMailAddress } from '../../../shared/model/mail-address.js';
import { projectOf } from '../../../shared/git/repository-url.js';

const now = 1_000_000;
const day = 86_400_000;
const ann: User = {
  name: 'ann',
  role: 'developer',
  mails: [parseMailAddress('ann@example.org')!],
  maySeeSecrets: false,
  projects: [],
  createdAt: 1,
  createdBy: 'root',
};
const caller = (changes: Partial<UserCaller> = {}): UserCaller => ({
  kind: 'user',
  name: 'ann',
  role: 'developer',
  right: 'write',
  reach: new Reach(),
  maySeeSecrets: false,
  tokenId: 'a'.repeat(16),
  ...changes,
});
const admin = caller({ name: 'root', role: 'admin', right: 'admin' });
const wish = (changes: Partial<TokenWish> = {}): TokenWish => ({
  user: ann,
  scope: undefined,
  projects: [],
  lifetime: 'default',
  ...changes,
});
const refusal = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof ApiError) return error.kind;
    throw error;
  }
  return 'allowed';
};

describe('made by an admin', () => {
  it('it gets what the role allows, for 90 days', () => {
    expect(termsOf(wish(), admin, now)).toEqual({ scope: 'write', projects: [], expiresAt: now + 90 * day });
    expect(termsOf(wish({ lifetime: 'never' }), admin, now)).toEqual({ scope: 'write', projects: [] });
  });
  it('it never gets more than its user has', () => {
    expect(refusal(() => termsOf(wish({ scope: 'admin' }), admin, now))).toBe('invalid');
    const limited = { ...ann, projects: ['h/a'] };
    expect(termsOf(wish({ user: limited }), admin, now).projects).toEqual(['h/a']);
    expect(refusal(() => termsOf(wish({ user: limited, projects: ['h/b'] }), admin, now))).toBe('forbidden');
  });
});

describe('made by oneself', () => {
  it('it allows no more than the token that made it', () => {
    const reader = caller({ right: 'read' });
    expect(termsOf(wish(), reader, now).scope).toBe('read');
    expect(refusal(() => termsOf(wish({ scope: 'write' }), reader, now))).toBe('forbidden');
    const limited = caller({ reach: new Reach(['h/a', 'h/b']) });
    expect(termsOf(wish(), limited, now).projects).toEqual(['h/a', 'h/b']);
    expect(termsOf(wish({ projects: ['h/b'] }), limited, now).projects).toEqual(['h/b']);
    expect(refusal(() => termsOf(wish({ projects: ['h/c'] }), limited, now))).toBe('forbidden');
    const nowhere = caller({ reach: new Reach(['h/a'], ['h/b']) });
    expect(refusal(() => termsOf(wish(), nowhere, now))).toBe('forbidden');
  });
  it('it does not outlive it', () => {
    const short = caller({ expiresAt: now + day });
    expect(termsOf(wish(), short, now).expiresAt).toBe(now + day);
    expect(refusal(() => termsOf(wish({ lifetime: 'never' }), short, now))).toBe('forbidden');
    expect(refusal(() => termsOf(wish({ lifetime: { seconds: 90_000 } }), short, now))).toBe('forbidden');
    expect(termsOf(wish({ lifetime: { seconds: 60 } }), short, now).expiresAt).toBe(now + 60_000);
  });
  it('it is nobody else’s', () => {
    expect(refusal(() => termsOf(wish(), caller({ name: 'bob' }), now))).toBe('forbidden');
    // An admin whose token is limited is no administrator of others.
    const limited = caller({ name: 'root', role: 'admin', right: 'admin', reach: new Reach(['h/a']) });
    expect(refusal(() => termsOf(wish(), limited, now))).toBe('forbidden');
    expect(
      refusal(() => termsOf(wish({ user: { ...ann, name: 'root', role: 'admin' } }), limited, now)),
    ).toBe('allowed');
  });
});

describe('what requests carry', () => {
  const directory = { users: () => [ann] };
  it('a user’s name is one word', () => {
    expect(userName('ann-lee.2')).toBe('ann-lee.2');
    for (const bad of ['', 'ann lee', 'the poll', '../x', 'ann\n', '-x', 'é'])
      expect(
        refusal(() => userName(bad)),
        bad,
      ).toBe('invalid');
  });
  it('an address is one address, of one user', () => {
    expect(mailsOf([' Bob@Example.org ', 'Bob@example.org'], 'bob', directory)).toEqual(['Bob@example.org']);
    expect(refusal(() => mailsOf(['ann@example.org'], 'bob', directory))).toBe('refused');
    expect(refusal(() => mailsOf(['ann@example.org'], 'Ann', directory))).toBe('allowed');
    expect(refusal(() => mailsOf(['a@b, c@d'], 'bob', directory))).toBe('invalid');
  });
  it('a project is a name, an id, an ending, a URL, or a name that is not known yet', () => {
    const known = ['git.example.org/team/app', 'git.example.org/other/app', '/srv/git/tool'].map(projectOf);
    const named = (text: string): readonly string[] => projectNames([text], known);
    expect(named('git.example.org/team/app')).toEqual(['git.example.org/team/app']);
    expect(named(known[2]?.id ?? '')).toEqual(['/srv/git/tool']);
    expect(named('tool')).toEqual(['/srv/git/tool']);
    expect(named('team/app')).toEqual(['git.example.org/team/app']);
    expect(named('https://git.example.org/team/new.git')).toEqual(['git.example.org/team/new']);
    expect(named('git@git.example.org:team/new.git')).toEqual(['git.example.org/team/new']);
    expect(named('git.example.org/team/later')).toEqual(['git.example.org/team/later']);
    expect(refusal(() => named('app'))).toBe('invalid');
    expect(refusal(() => named('nothing'))).toBe('invalid');
    expect(refusal(() => named('https://me:pw@git.example.org/x'))).toBe('invalid');
  });
  it('a note is one line', () => {
    expect(noteOf(' dashboard ')).toBe('dashboard');
    expect(refusal(() => noteOf('a\nb'))).toBe('invalid');
  });
});
