import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { prepareScript } from '../../../agent/executor/step-script.js';
import { parseGreeting, shellQuote, stepLine, supervisorScript } from '../../../agent/executor/supervisor.js';

const place = {
  in: '/gantry/in',
  out: '/gantry/out',
  workspace: '/workspace',
  home: '/gantry/home',
  shell: { name: 'bash', path: '/bin/bash' },
  id: '3-0123456789abcdef',
} as const;
const command = { number: 3, run: 'true', env: {}, logLimitBytes: 1 };

describe('shellQuote', () => {
  test('gives a real shell back any text, byte for byte', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 40 }), (text) => {
        fc.pre(!text.includes('\0'));
        expect(execFileSync('sh', ['-c', `printf %s ${shellQuote(text)}`]).toString('utf8')).toBe(text);
      }),
      { numRuns: 60 },
    );
  });
});

describe('prepareScript', () => {
  test('runs the shell that the box has, in the workspace or below it', () => {
    expect(prepareScript(command, place)).toContain("exec '/bin/bash' -eo pipefail '/gantry/in/step-3'\n");
    expect(prepareScript(command, { ...place, shell: { name: 'sh', path: 'sh' } })).toContain(
      "exec 'sh' -e '/gantry/in/step-3'",
    );
    expect(prepareScript({ ...command, workdir: "it's" }, place)).toContain(
      String.raw`cd '/workspace/it'\''s' || exit 1`,
    );
  });

  test('the stage may override CI, but not where its files are', () => {
    const script = prepareScript({ ...command, env: { CI: 'no', GANTRY_ENV: '/elsewhere' } }, place);
    expect(script.indexOf("export CI='true'")).toBeLessThan(script.indexOf("export CI='no'"));
    expect(script).toContain("export GANTRY_ENV='/gantry/out/3-0123456789abcdef.env'");
    expect(script).not.toContain('/elsewhere');
  });

  test('names that a shell cannot export, or may not, are set by env', () => {
    const script = prepareScript({ ...command, env: { 'a.b': 'x y', UID: '7' } }, place);
    expect(script).toContain("exec env 'a.b=x y' 'UID=7' '/bin/bash'");
    expect(script).not.toContain('export UID');
  });

  test.each(['a.b', 'UID'])('a secret is never set by env, which shows it: %s', (name) => {
    const secret = { ...command, env: { [name]: 'hidden' }, secretVariables: [name] };
    expect(() => prepareScript(secret, place)).toThrow(/no shell can export/);
  });

  test.each([{ 'A=B': 'x' }, { A: 'x\0y' }, { '': 'x' }])(
    'refuses what no environment can carry: %j',
    (env) => {
      expect(() => prepareScript({ ...command, env }, place)).toThrow(RangeError);
    },
  );
});

describe('the supervisor', () => {
  test('its text is valid for every shell of this machine', () => {
    const script = supervisorScript({ in: "/it's in", out: '/out' });
    for (const shell of ['sh', 'bash']) expect(execFileSync(shell, ['-n', '-c', script]).toString()).toBe('');
  });

  test('is told a step in one line', () => {
    expect(stepLine({ number: 3, id: '3-ab', marker: 'cd' })).toBe('3 3-ab cd\n');
  });

  test.each<[string, object | undefined]>([
    ['ready abc /bin/sh /bin/bash', { kind: 'ready', hello: 'abc', sh: '/bin/sh', bash: '/bin/bash' }],
    ['ready abc sh ', { kind: 'ready', hello: 'abc', sh: 'sh' }],
    ['missing setsid', { kind: 'missing', program: 'setsid' }],
    ['unreadable', { kind: 'unreadable' }],
    ['', undefined],
    ['sh: something else', undefined],
  ])('says %j', (line, expected) => {
    expect(parseGreeting(line)).toEqual(expected);
  });
});
