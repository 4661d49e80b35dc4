import fc from 'fast-check';
import { createAccount, createOperator, createUser, fromPublic, fromSeed } from 'nkeys.js';
import { describe, expect, test } from 'vitest';

import { createNkey, isPublicNkey, nkeyFromSeed } from '../../../shared/nats/nkey.js';

describe('nkeys', () => {
  test.each(['operator', 'account', 'user'] as const)(
    'of an %s are what the NATS library reads and verifies',
    (role) => {
      for (let n = 0; n < 20; n++) {
        const key = createNkey(role);
        const theirs = fromSeed(Buffer.from(key.seed));
        expect(theirs.getPublicKey()).toBe(key.publicKey);
        const data = Buffer.from(`data ${n}`);
        expect(fromPublic(key.publicKey).verify(data, key.sign(data))).toBe(true);
        expect(fromPublic(key.publicKey).verify(Buffer.from('other'), key.sign(data))).toBe(false);
      }
    },
  );

  test('of the NATS library are read, whatever their role', () => {
    for (const [role, make] of [
      ['operator', createOperator],
      ['account', createAccount],
      ['user', createUser],
    ] as const) {
      const theirs = make();
      const key = nkeyFromSeed(Buffer.from(theirs.getSeed()).toString());
      expect(key.role).toBe(role);
      expect(key.publicKey).toBe(theirs.getPublicKey());
      expect(Buffer.from(theirs.sign(Buffer.from('x')))).toEqual(key.sign(Buffer.from('x')));
    }
  });

  test('with a changed character are no keys', () => {
    const { publicKey, seed } = createNkey('user');
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
    fc.assert(
      fc.property(fc.nat(55), fc.nat(31), (at, letter) => {
        const change = (text: string): string =>
          text.slice(0, at) + alphabet.charAt(letter) + text.slice(at + 1);
        fc.pre(change(publicKey) !== publicKey && change(seed) !== seed);
        expect(isPublicNkey('user', change(publicKey))).toBe(false);
        expect(() => nkeyFromSeed(change(seed))).toThrow();
      }),
    );
  });

  test.each(['', ' ', 'U', '*', '>', 'U'.repeat(56), 'ä'.repeat(56), 'u'.repeat(56)])(
    '%j is none',
    (text) => {
      expect(isPublicNkey('user', text)).toBe(false);
      expect(() => nkeyFromSeed(text)).toThrow();
    },
  );

  test('of another role are not taken for a user’s', () => {
    expect(isPublicNkey('user', createNkey('account').publicKey)).toBe(false);
    expect(isPublicNkey('account', createNkey('account').publicKey)).toBe(true);
  });

  test('do not show the seed in the error', () => {
    const { seed } = createNkey('user');
    for (const wrong of [`${seed}A`, seed.slice(1), seed.slice(0, -1)]) {
      let message = '';
      try {
        nkeyFromSeed(wrong);
      } catch (error) {
        message = String(error);
      }
      expect(message).toMatch(/nkey seed/);
      expect(message).not.toContain(seed.slice(2, 20));
    }
  });
});
