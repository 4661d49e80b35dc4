/** What the end of a verify's run says. */
import { describe, expect, it } from 'vitest';
import { verifyAnswerOf } from '../../../coordinator/delivery/verify-answer.js';
import type { Failure } from '../../../shared/model/failure.js';

const exit: Failure = { kind: 'exit-code', step: 2, exitCode: 1 };
const lost: Failure = { kind: 'agent-lost', agent: 'a', message: 'silent' };

describe('the end of a verify', () => {
  it('is good, or bad in the words of what failed', () => {
    expect(verifyAnswerOf('succeeded', [])).toEqual({ kind: 'good' });
    expect(verifyAnswerOf('failed', [exit])).toEqual({ kind: 'bad', reason: 'step 2 exited with code 1' });
    expect(verifyAnswerOf('failed', [{ kind: 'timed-out', step: 1, limitMs: 1000 }]).kind).toBe('bad');
  });

  it('says nothing of the deployment when it was ours, canceled, or could not begin', () => {
    const secret: Failure = { kind: 'secret-unavailable', secret: 'TOKEN', message: 'there is none' };
    const image: Failure = { kind: 'image-unavailable', image: 'x', message: 'no', transient: false };
    for (const failure of [lost, secret, image, { kind: 'invalid-pipeline', message: 'no' } as const]) {
      expect(verifyAnswerOf('failed', [failure]).kind).toBe('unavailable');
    }
    expect(verifyAnswerOf('canceled', [{ kind: 'canceled', by: 'ada' }])).toEqual({
      kind: 'unavailable',
      message: 'canceled by ada',
    });
    expect(verifyAnswerOf('canceled', [exit]).kind).toBe('unavailable');
    expect(verifyAnswerOf('failed', [])).toEqual({ kind: 'unavailable', message: 'its run ended failed' });
  });
});
