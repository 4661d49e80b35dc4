import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createTerminalText, printable } from '../../../shared/text/terminal-text.js';

const ESC = '\u001b';
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const show = (text: string | Uint8Array, color = true): string => {
  const terminal = createTerminalText({ color });
  return terminal.push(typeof text === 'string' ? bytes(text) : text) + terminal.end();
};

describe('text of steps on a terminal', () => {
  it.each([
    ['plain text', 'hello\n\tworld\n', 'hello\n\tworld\n'],
    ['a colour, and a reset where the step left it open', `${ESC}[31mred`, `${ESC}[31mred${ESC}[0m`],
    ['a colour that the step reset itself', `${ESC}[1;31mred${ESC}[0m.`, `${ESC}[1;31mred${ESC}[0m.`],
    ['moves of the cursor', `a${ESC}[2Jb${ESC}[1;1Hc${ESC}[Kd`, 'abcd'],
    ['private modes', `${ESC}[?1049h${ESC}[?25l!`, '!'],
    ['a title', `${ESC}]0;owned\u0007text`, 'text'],
    ['a link, ended by ST', `${ESC}]8;;http://x${ESC}\\here${ESC}]8;;${ESC}\\`, 'here'],
    ['a device control string', `${ESC}P1$r0m${ESC}\\ok`, 'ok'],
    ['C1 controls in UTF-8', '\u009b31mx\u009d0;t\u009cy', `${ESC}[31mxy${ESC}[0m`],
    ['a query for the cursor', `${ESC}[6nx`, 'x'],
    ['other escapes', `${ESC}c${ESC}(B${ESC}7x`, 'x'],
    ['bells, backspaces and deletes', 'a\u0007b\bc\u007fd', 'abcd'],
    ['line ends of other systems', 'a\r\nb\r\n', 'a\nb\n'],
    ['a progress bar by carriage returns', '10%\r20%\r30%\n', '10%\n20%\n30%\n'],
    ['what would hide the text before it', `evil${ESC}[8m\rgood`, `evil${ESC}[8m\ngood${ESC}[0m`],
    ['a string that never ends: it ends with its line', `${ESC}]0;x\nshown`, '\nshown'],
    ['parameters that are no colour', `${ESC}[31;?m${ESC}[<1mx`, 'x'],
    ['UTF-8', 'grün 🚀 日本', 'grün 🚀 日本'],
  ])('shows %s', (_what, given, expected) => {
    expect(show(given)).toBe(expected);
  });

  it('shows bytes that are no UTF-8 as replacement characters', () => {
    expect(show(Uint8Array.of(0x61, 0xff, 0xfe, 0x62))).toBe('a\ufffd\ufffdb');
  });

  it('drops colour too where none is wanted', () => {
    expect(show(`${ESC}[31mred${ESC}[0m`, false)).toBe('red');
  });

  const fragments = fc.oneof(
    fc.string(),
    fc.string({ unit: 'binary' }),
    fc.constantFrom(
      ESC,
      `${ESC}[`,
      `${ESC}]`,
      ';',
      '31',
      'm',
      '\u0007',
      '\\',
      '\r',
      '\n',
      '\u009b',
      '\u009c',
      'P',
      '🚀',
      'é',
      '?',
    ),
  );
  const noise = fc.oneof(
    fc.array(fragments, { maxLength: 30 }).map((parts) => bytes(parts.join(''))),
    fc.uint8Array({ maxLength: 200 }),
  );

  it('does not care where the bytes are cut', () => {
    fc.assert(
      fc.property(noise, fc.array(fc.nat(20)), fc.boolean(), (all, cuts, color) => {
        const terminal = createTerminalText({ color });
        let shown = '';
        let at = 0;
        for (const cut of [...cuts, all.length]) {
          shown += terminal.push(all.subarray(at, at + cut));
          at += cut;
        }
        expect(shown + terminal.push(all.subarray(at)) + terminal.end()).toBe(show(all, color));
      }),
    );
  });

  it('lets no control through but line ends, tabs and colours', () => {
    fc.assert(
      fc.property(noise, (all) => {
        const rest = show(all).replaceAll(/\u001b\[[0-9;:]*m/g, ''); // eslint-disable-line no-control-regex
        // eslint-disable-next-line no-control-regex
        expect(rest).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/);
      }),
    );
  });

  it('keeps names on their line', () => {
    expect(printable(`a\nb${ESC}[31mc\td`)).toBe('a bc d');
  });
});
