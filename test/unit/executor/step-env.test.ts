import { describe, expect, test } from 'vitest';
import { parseStepEnv } from '../../../agent/executor/step-env.js';

describe('parseStepEnv', () => {
  test('takes NAME=value lines; the last one wins; the value is everything behind the first equals sign', () => {
    const { variables, problems } = parseStepEnv('A=1\nB=x=y z \n\n# comment\nA=2\nC=\nD=cr\r\nE=last');
    expect(variables).toEqual({ A: '2', B: 'x=y z ', C: '', D: 'cr', E: 'last' });
    expect(problems).toEqual([]);
  });

  test('says which lines it did not take, and not all of a thousand', () => {
    const { variables, problems } = parseStepEnv(
      'export A=1\n=x\n1A=x\nGANTRY_OUTPUT=/x\nB=a\0b\nGOOD=1\nx\ny',
    );
    expect(variables).toEqual({ GOOD: '1' });
    expect(problems).toEqual([
      '$GANTRY_ENV line 1 was ignored: expected NAME=value without `export`',
      '$GANTRY_ENV line 2 was ignored: expected NAME=value',
      '$GANTRY_ENV line 3 was ignored: expected NAME=value',
      '$GANTRY_ENV line 4 was ignored: GANTRY_OUTPUT cannot be changed',
      '$GANTRY_ENV line 5 was ignored: the value of B has a NUL byte',
      '2 more lines of $GANTRY_ENV were ignored',
    ]);
  });

  test('a name from the prototype of objects is a name like any other', () => {
    expect(Object.entries(parseStepEnv('__proto__=x\nconstructor=y').variables)).toEqual([
      ['__proto__', 'x'],
      ['constructor', 'y'],
    ]);
  });
});
