/** Who is told. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { People } from '../../../coordinator/feedback/people.js';
import {
  mailOfAuthor,
  maxTargets,
  recipientsOf,
  type Involved,
} from '../../../coordinator/feedback/recipients.js';
import { targetKey } from '../../../coordinator/feedback/target.js';
import { domainOfMail, parseMailAddress, type MailAddress } from '../../../shared/model/mail-address.js';

const mail = (text: string): MailAddress => parseMailAddress(text)!;
const users: Readonly<Record<string, readonly MailAddress[]>> = {
  ada: [mail('ada@example.org'), mail('ada@old.example.com')],
  grace: [mail('grace@example.org')],
  silent: [],
};
const people: People = {
  // An author may be called `valueOf`: a plain object has that without being asked.
  addressesOf: (user) => (Object.hasOwn(users, user) ? (users[user] ?? []) : []),
  ownerOf: (address) => Object.entries(users).find(([, mails]) => mails.includes(address))?.[0],
};

const wrote = (...mails: string[]): Involved['commits'] => mails.map((authorMail) => ({ authorMail }));
const involved = (changes: Partial<Involved> = {}): Involved => ({
  news: 'failed',
  facts: { event: 'push', trust: 'branch', by: 'Somebody', author: 'Ada <ada@example.org>' },
  settings: { mailDomains: ['corp.example'], webhooks: [{ name: 'chat', url: 'https://chat.example' }] },
  commits: wrote('ada@example.org'),
  told: [],
  ...changes,
});
const told = (changes: Partial<Involved> = {}): readonly string[] =>
  recipientsOf(involved(changes), people).targets.map(targetKey);
const dropped = (changes: Partial<Involved>): readonly (string | undefined)[] =>
  recipientsOf(involved(changes), people).dropped.map(({ target }) => target);

const notify = { when: ['failed', 'fixed'] as const, mail: ['team@corp.example'], webhooks: ['chat'] };

describe('who is told', () => {
  it('is every author since the last green run, and who pushed', () => {
    const facts = { ...involved().facts, by: 'grace' };
    const commits = wrote('ada@example.org', 'eve@corp.example', 'ada@example.org');
    expect(told({ facts, commits })).toEqual([
      'mail:ada@example.org',
      'mail:eve@corp.example',
      'mail:grace@example.org',
    ]);
  });

  it('is not the user whose name the author of a polled push took', () => {
    const facts = {
      ...involved().facts,
      by: 'grace',
      byAuthor: true,
      author: 'grace <eve@corp.example>',
    } as const;
    expect(told({ facts, commits: wrote('eve@corp.example') })).toEqual(['mail:eve@corp.example']);
    expect(told({ facts, commits: [] })).toEqual(['mail:eve@corp.example']);
    // By the address of the commit they are known.
    expect(told({ facts, commits: wrote('grace@example.org') })).toEqual(['mail:grace@example.org']);
  });

  it('is one person once, at the address of the commit', () => {
    const facts = { ...involved().facts, by: 'ada' };
    expect(told({ facts, commits: wrote('ada@old.example.com', 'ada@example.org') })).toEqual([
      'mail:ada@old.example.com',
    ]);
  });

  it('is the author of the run’s commit where the commits are not known', () => {
    expect(told({ commits: [] })).toEqual(['mail:ada@example.org']);
  });

  it('is the submitter alone of a tree that was sent by hand, whatever its pipeline says', () => {
    const facts = { ...involved().facts, event: 'submit', trust: 'submit', by: 'grace' } as const;
    expect(told({ facts, notify })).toEqual(['mail:grace@example.org']);
    expect(told({ facts: { ...facts, by: 'silent' } })).toEqual([]);
  });

  it('is nobody at an address that is neither known nor of an allowed domain', () => {
    const commits = wrote('mallory@evil.example', 'mallory@sub.corp.example', 'x@corp.example.evil');
    expect(told({ commits })).toEqual([]);
    expect(dropped({ commits })).toEqual([
      'mail:mallory@evil.example',
      'mail:mallory@sub.corp.example',
      'mail:x@corp.example.evil',
    ]);
  });

  it('knows a domain in any case, and an address once', () => {
    const commits = wrote('Eve@Corp.Example', 'Eve@corp.example', 'Eve@CORP.example');
    expect(told({ commits })).toEqual(['mail:Eve@corp.example']);
  });

  it('is whom the pipeline names, when it says', () => {
    expect(told({ notify })).toEqual(['mail:ada@example.org', 'mail:team@corp.example', 'webhook:chat']);
    expect(told({ notify, news: 'still-failing' })).toEqual(['mail:ada@example.org']);
  });

  it('is no address or webhook of the pipeline that the project does not allow', () => {
    const rules = { ...notify, mail: ['all@world.example', 'not an address'], webhooks: ['other'] };
    expect(told({ notify: rules })).toEqual(['mail:ada@example.org']);
    expect(dropped({ notify: rules })).toEqual(['mail:all@world.example', undefined, 'webhook:other']);
  });

  it('is, when it is fixed, whoever was told of the failure, and the fixer', () => {
    const before = [
      'mail:grace@example.org',
      'mail:ada@old.example.com',
      'mail:gone@nowhere.example',
      'webhook:chat',
    ];
    expect(told({ news: 'fixed', told: before })).toEqual(['mail:ada@example.org', 'mail:grace@example.org']);
  });

  it('is not, when it is fixed, whom the pipeline wants to hear of failures only', () => {
    const rules = { ...notify, when: ['failed'] as const };
    const before = ['mail:team@corp.example', 'mail:grace@example.org'];
    expect(told({ news: 'fixed', told: before, notify: rules })).toEqual([
      'mail:ada@example.org',
      'mail:grace@example.org',
    ]);
  });

  it('has a bound', () => {
    const commits = wrote(...Array.from({ length: maxTargets + 20 }, (_, n) => `dev${n}@corp.example`));
    const { targets, dropped: rest } = recipientsOf(involved({ commits }), people);
    expect([targets.length, rest.length]).toEqual([maxTargets, 20]);
  });

  it('never holds an address of a stranger, nor one twice, whatever people write', () => {
    const address = fc.oneof(
      fc.string({ unit: 'grapheme' }),
      fc.emailAddress(),
      fc.constantFrom(
        'ada@example.org',
        'ADA@EXAMPLE.ORG',
        'a@corp.example\r\nBcc: x@y',
        '<a@corp.example>',
        'a@corp.example,b@evil.example',
      ),
      fc.string({ minLength: 1, maxLength: 8 }).map((local) => `${local}@corp.example`),
    );
    fc.assert(
      fc.property(fc.array(address), address, fc.array(address), (authors, by, rules) => {
        const { targets } = recipientsOf(
          involved({
            commits: wrote(...authors),
            facts: { ...involved().facts, by, author: `x <${by}>` },
            notify: { when: ['failed'], mail: rules, webhooks: rules },
            told: authors.map((one) => `mail:${one}`),
          }),
          people,
        );
        const keys = targets.map(targetKey);
        expect(new Set(keys).size).toBe(keys.length);
        for (const target of targets) {
          if (target.kind !== 'mail') continue;
          const isAllowed =
            people.ownerOf(target.address) !== undefined || domainOfMail(target.address) === 'corp.example';
          expect(isAllowed && parseMailAddress(target.address) === target.address).toBe(true);
        }
      }),
    );
  });
});

describe('the address of an author', () => {
  it('is the last one, whatever the name holds', () => {
    expect(mailOfAuthor('Ada <ada@example.org>')).toBe('ada@example.org');
    expect(mailOfAuthor('Mallory <victim@example.org> <mallory@evil.example>')).toBe('mallory@evil.example');
    expect(mailOfAuthor('Ada')).toBeUndefined();
    expect(mailOfAuthor(undefined)).toBeUndefined();
  });
});
