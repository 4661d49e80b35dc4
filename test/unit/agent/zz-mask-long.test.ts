/** What leaves the agent holds no secret, in any form of it, however it was cut into pieces; and is as long as what was written. */
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
const require = createRequire(import.meta.url);
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createMasker, type Masker } from '../../../agent/logs/mask.js';
import { MaskedLog } from '../../../agent/logs/masked-log.js';
import { secretForms, shortestLine, type SecretForm } from '../../../agent/logs/secret-forms.js';

const sure = (masker: Masker | undefined): Masker => {
  if (masker === undefined) throw new Error('nothing to mask');
  return masker;
};
const mask = (text: string, ...values: string[]): string => sure(createMasker(values)).text(text);
const stars = (text: string | Buffer): string => '*'.repeat(Buffer.byteLength(text));

/** Masks the whole at once, by trying every form at every byte. Written apart from what it judges. */
function naively(text: Buffer, forms: readonly SecretForm[]): Buffer {
  const masked = Buffer.from(text);
  for (const form of forms) {
    for (let start = 0; start < text.length; start += 1) {
      const end = endOf(text, start, form);
      if (end !== undefined) masked.fill('*', start, end);
    }
  }
  return masked;
}

/** Byte by byte; line ends may come between, if the line before is the first or long enough. */
function endOf(text: Buffer, start: number, { bytes, folded }: SecretForm): number | undefined {
  let at = start;
  let line = Infinity;
  for (const byte of bytes) {
    const ahead = folded && at > start && line >= shortestLine ? text.toString('latin1', at, at + 2) : '';
    const lineEnd = /^\r?\n/.exec(ahead)?.[0].length ?? 0;
    if (lineEnd > 0) line = 0;
    at += lineEnd;
    if (text[at] !== byte) return undefined;
    at += 1;
    line += 1;
  }
  return at;
}

function inPieces(masker: Masker, text: Buffer, cuts: readonly number[]): Buffer {
  const stream = masker.stream();
  const masked: Buffer[] = [];
  let at = 0;
  for (const cut of [...cuts.map((each) => each % (text.length + 1)).sort((a, b) => a - b), text.length]) {
    masked.push(Buffer.from(stream.push(Buffer.from(text.subarray(at, cut)))));
    at = cut;
  }
  masked.push(stream.flush());
  return Buffer.concat(masked);
}

/** Few different characters, so that occurrences overlap, repeat and almost happen. */
const secret = fc.oneof(
  fc.string({ unit: fc.constantFrom('a', 'b', "'", ' ', '/', 'ä'), minLength: 6, maxLength: 14 }),
  fc.string({ unit: 'grapheme', minLength: 6, maxLength: 20 }),
  fc.string({ unit: fc.constantFrom('a', 'b', '\n'), minLength: 6, maxLength: 40 }),
);
const folding = fc.record({ width: fc.integer({ min: 14, max: 40 }), phase: fc.nat(40), crlf: fc.boolean() });

const caseOf = fc
  .record({
    secrets: fc.array(secret, { minLength: 1, maxLength: 3 }),
    picks: fc.array(
      fc.record({
        form: fc.nat(),
        fold: fc.option(folding),
        cutTo: fc.nat(60),
        filler: fc.string({ maxLength: 12 }),
      }),
      { maxLength: 12 },
    ),
    cuts: fc.array(fc.nat(2000), { maxLength: 30 }),
  })
  .map(({ secrets, picks, cuts }) => {
    const forms = secretForms(secrets);
    const pieces = picks.map(({ form, fold, cutTo, filler }) => {
      const bytes = forms[form % Math.max(1, forms.length)]?.bytes ?? Buffer.alloc(0);
      let text = bytes.toString('latin1');
      if (fold !== null) {
        const { width, phase, crlf } = fold;
        text = Array.from(
          text,
          (char, i) => ((i + phase) % width === 0 ? (crlf ? '\r\n' : '\n') : '') + char,
        ).join('');
      }
      // Every other one is a beginning only.
      return `${cutTo % 2 === 0 ? text : text.slice(0, cutTo)}${filler}`;
    });
    return { secrets, forms, text: Buffer.from(pieces.join(''), 'latin1'), cuts };
  });

describe('the masker', () => {
  it('gives what naive masking of the whole gives, however the text is cut', () => {
    fc.assert(
      fc.property(caseOf, ({ secrets, forms, text, cuts }) => {
        const masker = createMasker(secrets);
        const expected = naively(text, forms).toString('latin1');
        const masked = masker === undefined ? text : inPieces(masker, text, cuts);
        expect(masked.toString('latin1')).toBe(expected);
      }),
      { numRuns: 200 },
    );
  });

  it('holds back no more than the longest form less one byte, and nothing of a text without a beginning of one', () => {
    fc.assert(
      fc.property(caseOf, ({ secrets, text }) => {
        const masker = createMasker(secrets);
        if (masker === undefined) return;
        const given = masker.stream().push(Buffer.from(text)).length;
        expect(text.length - given).toBeLessThanOrEqual(masker.lookBehind);
      }),
    );
    const stream = sure(createMasker(['correct-horse'])).stream();
    expect(stream.push(Buffer.from('building…\n')).toString()).toBe('building…\n');
    expect(stream.push(Buffer.from('it is corr')).toString()).toBe('it is ');
    expect(stream.push(Buffer.from('ect\n')).toString()).toBe('correct\n');
  });

  it('begun `lookBehind` bytes before an offset, it gives the same from there on', () => {
    fc.assert(
      fc.property(caseOf, fc.nat(), ({ secrets, forms, text }, n) => {
        const masker = createMasker(secrets);
        if (masker === undefined || text.length === 0) return;
        const offset = n % text.length;
        const from = Math.max(0, offset - masker.lookBehind);
        const masked = inPieces(masker, text.subarray(from), []).subarray(offset - from);
        expect(masked.toString('latin1')).toBe(naively(text, forms).subarray(offset).toString('latin1'));
      }),
    );
  });

  it('masks nothing where there is nothing to mask', () => {
    expect(createMasker([])).toBeUndefined();
    expect(createMasker(['short', ''])).toBeUndefined();
  });
});

describe('a value', () => {
  const value = 'tr0ub4dor &3/über"it\'s"';

  it('is masked as it is, at equal length', () => {
    expect(mask(`say ${value}, twice ${value}!`, value)).toBe(`say ${stars(value)}, twice ${stars(value)}!`);
  });

  it.each([
    ['URL-encoded', encodeURIComponent(value)],
    ['URL-encoded in lower case', encodeURIComponent(value).replace(/%../g, (hex) => hex.toLowerCase())],
    ['as a form', new URLSearchParams({ v: value }).toString().slice(2)],
    ['in JSON', JSON.stringify(value).slice(1, -1)],
    ['in JSON of PHP', JSON.stringify(value).slice(1, -1).replaceAll('/', '\\/')],
    ['in JSON of ASCII', JSON.stringify(value).slice(1, -1).replaceAll('ü', '\\u00fc')],
    ['base64url', Buffer.from(value).toString('base64url')],
  ])('is masked %s', (_how, form) => {
    expect(mask(`<${form}>`, value)).toBe(`<${stars(form)}>`);
  });

  it.each([0, 1, 2, 3, 4, 5])(
    'is masked in base64 behind %d other bytes, but for what mixes with them',
    (before) => {
      for (const alphabet of ['base64', 'base64url'] as const) {
        const text = Buffer.from(`${'x'.repeat(before)}${value}`).toString(alphabet);
        const masked = mask(text, value);
        expect(masked.length).toBe(text.length);
        expect(masked.replace(/\*+/, '').length).toBeLessThanOrEqual(Math.ceil(before / 3) * 4);
      }
    },
  );

  it.each([64, 76])('is masked in base64 wrapped at %d columns, wherever it stands in the file', (width) => {
    const long = 'k3y-'.repeat(40);
    for (let before = 0; before < 100; before += 7) {
      const encoded = Buffer.from(`${'#'.repeat(before)}${long}${'#'.repeat(before)}`).toString('base64');
      const wrapped = encoded.replace(new RegExp(`(.{${width}})`, 'g'), '$1\n');
      const masked = mask(wrapped, long);
      expect(masked.length).toBe(wrapped.length);
      const plain = masked.replaceAll('\n', '').replaceAll('*', '');
      expect(plain.length).toBeLessThanOrEqual(2 * Math.ceil((before * 4) / 3) + 8);
    }
  });

  it('is masked as bash shows and quotes it', () => {
    const values = ['two words', `it's "quoted"`, 'a$b`c\\d', 'tab\tand\nline', 'plain-token_1'];
    for (const each of values) {
      const run = spawnSync('bash', ['--norc', '-c', 'set -x; : "$V"; set +x; printf "%q\\n" "$V"'], {
        env: { V: each },
      });
      const said = `${run.stderr.toString()}${run.stdout.toString()}`;
      const masked = mask(said, each);
      // `it's` alone may stay of `it's "quoted"`: pieces of a value are no occurrence of it.
      expect(masked).toMatch(/\*{6,}/);
      for (const piece of each.split(/[^a-z]+/).filter(({ length }) => length > 3)) {
        expect(masked, `${each} in ${said}`).not.toContain(piece);
      }
    }
  });

  it('is masked line by line, where it has several of six bytes and more', () => {
    const pem = '-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG\n9w0BAQ==\nab\n-----END KEY-----\n';
    expect(mask('| MIIEvQIBADANBgkqhkiG |\n|9w0BAQ==|\n|ab|', pem)).toBe(
      `| ${stars('MIIEvQIBADANBgkqhkiG')} |\n|${stars('9w0BAQ==')}|\n|ab|`,
    );
    expect(mask(pem, pem)).toBe(stars(pem));
    // What a shell makes of it in `echo "$KEY"`: without the line end that it ends with.
    expect(mask(`${pem.trimEnd()}\r\n`, pem)).toBe(`${stars(pem.trimEnd())}\r\n`);
  });

  it('is masked where occurrences overlap', () => {
    expect(mask('abababababab!', 'abababab')).toBe('************!');
    expect(mask('xsecretone-two', 'secretone', 'one-two')).toBe('x*************');
  });
});

describe('a masked log', () => {
  /** A spool that has `written` bytes so far. */
  const spoolOf = (bytes: Buffer) => ({
    written: bytes.length,
    available() {
      return Promise.resolve(this.written);
    },
    read(offset: number, buffer: Uint8Array) {
      const piece = bytes.subarray(offset, Math.min(this.written, offset + buffer.length));
      buffer.set(piece);
      return Promise.resolve(piece.length);
    },
    changed: () => Promise.resolve(),
  });

  it('gives the same bytes in whatever order and pieces they are read, while it grows', async () => {
    await fc.assert(
      fc.asyncProperty(
        caseOf,
        fc.array(fc.record({ grow: fc.nat(60), at: fc.nat(), length: fc.integer({ min: 1, max: 80 }) }), {
          maxLength: 40,
        }),
        async ({ secrets, forms, text }, steps) => {
        (globalThis as any).N = ((globalThis as any).N ?? 0) + 1; require('node:fs').writeFileSync('/tmp/secrets/last.json', JSON.stringify({N:(globalThis as any).N, secrets, text: text.toString('latin1'), steps}));
          const masker = createMasker(secrets);
          if (masker === undefined) return;
          const expected = naively(text, forms);
          const spool = spoolOf(text);
          spool.written = 0;
          const log = new MaskedLog(spool, masker);
          for (const { grow, at, length } of steps) {
            spool.written = Math.min(text.length, spool.written + grow);
            const offset = at % (spool.written + 1);
            const available = await log.available(offset);
            expect(available).toBeLessThanOrEqual(spool.written);
            expect(spool.written - available).toBeLessThanOrEqual(masker.lookBehind);
            const buffer = Buffer.alloc(length);
            const got = await log.read(offset, buffer);
            expect(got).toBe(Math.max(0, Math.min(length, available - offset)));
            expect(buffer.subarray(0, got).equals(expected.subarray(offset, offset + got))).toBe(true);
          }
          spool.written = text.length;
          log.ended(text.length);
          const whole = Buffer.alloc(text.length);
          for (let at = 0; at < text.length;) at += await log.read(at, whole.subarray(at, at + 50));
          expect(whole.equals(expected)).toBe(true);
        },
      ),
      { numRuns: 4000 },
    );
  });

  it('ends where the step ended, not where the spool does', async () => {
    const log = new MaskedLog(
      spoolOf(Buffer.from('it is correct-horse')),
      sure(createMasker(['correct-horse'])),
    );
    log.ended(12);
    expect(await log.available(0)).toBe(12);
    const buffer = Buffer.alloc(30);
    expect(await log.read(0, buffer)).toBe(12);
    expect(buffer.toString('latin1', 0, 12)).toBe('it is correc');
  });
});
