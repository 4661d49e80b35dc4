import { describe, expect, test } from 'vitest';

import { MessageError, parseAssignment, parseDrain, parseEnd } from '../../../agent/session/messages.js';
import { assignment } from '../../support/assignment.js';
import { commitId, runId, token } from '../../support/ids.js';

const text = (changes: object): string => JSON.stringify({ ...assignment(), ...changes });

describe('an assignment', () => {
  test('of each kind of source is taken as it was sent', () => {
    const bundle = {
      source: {
        kind: 'bundle',
        digest: 'a'.repeat(64),
        bytes: 10,
        commit: commitId(1),
        shallow: [commitId(2)],
      },
      needs: [{ stage: 2, attempt: 1, title: 'x', manifest: { sha256: 'b'.repeat(64), bytes: 5 } }],
      images: { 'python:3.12': 'sha256:x' },
    };
    for (const changes of [{}, bundle])
      expect(parseAssignment(text(changes))).toEqual({ ...assignment(), ...changes });
  });

  test.each([
    ['no JSON', 'x', /no JSON/],
    ['a run that is no id', text({ run: '../../etc' }), /run/],
    ['a stage 0', text({ stage: 0 }), /stage/],
    ['a token 0', text({ token: 0 }), /token/],
    [
      'a commit that is an option of git',
      text({ source: { kind: 'git', url: 'x', commit: '--upload-pack=x' } }),
      /source\.commit/,
    ],
    ['an unknown kind of source', text({ source: { kind: 'svn' } }), /source/],
    ['a plan without steps', text({ plan: { ...assignment().plan, steps: undefined } }), /plan\.steps/],
    ['null', 'null', /assignment/],
  ])('with %s is refused, and the message names the field', (_what, wrong, words) => {
    expect(() => parseAssignment(wrong)).toThrow(MessageError);
    expect(() => parseAssignment(wrong)).toThrow(words);
  });

  test('whose stage has a key that this agent does not know is refused: it would do something else', () => {
    const { plan } = assignment();
    const [first, ...rest] = plan.steps;
    for (const later of [
      { ...plan, later: 1 },
      { ...plan, steps: [{ ...first, later: 1 }, ...rest] },
    ]) {
      expect(() => parseAssignment(text({ plan: later }))).toThrow(/later/);
    }
  });

  test('of a newer coordinator, with more fields, is taken', () => {
    const facts = { ...assignment().facts, later: 1 };
    expect(parseAssignment(text({ later: 1, facts }))).toEqual(assignment());
  });
});

test('cancel and drain are checked as well', () => {
  const end = { ref: { run: runId(1), stage: 1, attempt: 1 }, token: token(1), why: 'canceled', by: 'ann' };
  expect(parseEnd(JSON.stringify(end))).toEqual(end);
  expect(() => parseEnd(JSON.stringify({ ...end, why: 'bored' }))).toThrow(/why/);
  expect(parseDrain('{"draining":true}')).toEqual({ draining: true });
  expect(() => parseDrain('{"draining":"yes"}')).toThrow(MessageError);
});
