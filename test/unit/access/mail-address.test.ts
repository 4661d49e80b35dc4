import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { domainOfMail, isMailDomain, parseMailAddress } from '../../../shared/model/mail-address.js';

describe('one plain address', () => {
  it.each([
    ['ann@example.org', 'ann@example.org'],
    ['Ann.Lee+ci@Example.ORG', 'Ann.Lee+ci@example.org'],
    ['a@b', 'a@b'],
    ['zoë@exämple.org', 'zoë@exämple.org'],
    ['root@build-1.internal', 'root@build-1.internal'],
    [`${'a'.repeat(64)}@example.org`, `${'a'.repeat(64)}@example.org`],
  ])('%s is taken', (text, address) => {
    expect(parseMailAddress(text)).toBe(address);
  });

  it.each([
    '',
    'ann',
    '@example.org',
    'ann@',
    'a@b@c',
    'ann @example.org',
    ' ann@example.org',
    'ann@example.org\n',
    'ann@example.org\r\nBcc: eve@example.org',
    'ann@example.org, eve@example.org',
    'ann@example.org;eve@example.org',
    'Ann <ann@example.org>',
    '<ann@example.org>',
    '"ann lee"@example.org',
    "o'brien@example.org",
    'ann@[10.0.0.1]',
    'ann@example..org',
    'ann@.example.org',
    'ann@example.org.',
    'ann@-example.org',
    'ann@exam_ple.org',
    '.ann@example.org',
    'ann.@example.org',
    'a..b@example.org',
    '-oProxyCommand=x@example.org',
    'ann%other@example.org',
    'ann!other@example.org',
    'ann(comment)@example.org',
    'ann:group@example.org',
    'ann\u0000@example.org',
    'ann\u202e@example.org',
    'ann\u200b@example.org',
    'ann@example.org\u2028',
    'zoe\u0308@example.org',
    '$(reboot)@example.org',
    '`reboot`@example.org',
    `${'a'.repeat(65)}@example.org`,
    `ann@${'a'.repeat(64)}.org`,
    `ann@${'a.'.repeat(130)}org`,
  ])('%j is not', (text) => {
    expect(parseMailAddress(text)).toBeUndefined();
  });

  it('never holds what could end a header, begin a second address or mean something to a shell', () => {
    const dangerous = /[\p{C}\p{Z}<>()[\],;:"'`\\|&$%!]/u;
    const odd = ' <>()[],;:"\'`\\|&$%!\r\n\u0000\u202e\u2028é+_1'.split(/(?:)/u);
    const usual = 'abc.-'.split(/(?:)/u);
    const unit = fc.oneof(
      { arbitrary: fc.constantFrom(...usual), weight: 9 },
      { arbitrary: fc.constantFrom(...odd), weight: 1 },
    );
    const part = fc.string({ unit, maxLength: 8 });
    const text = fc.tuple(part, part).map(([name, domain]) => `${name}@${domain}`);
    let taken = 0;
    fc.assert(
      fc.property(text, (given) => {
        const address = parseMailAddress(given);
        if (address === undefined) return;
        taken += 1;
        expect(address).not.toMatch(dangerous);
        expect(address.split('@')).toHaveLength(2);
        expect(address.length).toBeLessThanOrEqual(254);
        expect(parseMailAddress(address)).toBe(address);
      }),
      { numRuns: 500 },
    );
    expect(taken).toBeGreaterThan(20);
  });

  it('tells its domain', () => {
    const address = parseMailAddress('Ann@Example.Org')!;
    expect(domainOfMail(address)).toBe('example.org');
    expect(isMailDomain('example.org')).toBe(true);
    expect(isMailDomain('example.org, other.org')).toBe(false);
  });
});
