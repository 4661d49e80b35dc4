/** What the end of a verify's run says of the deployment. */
import { blameOf, describeFailure, type Failure } from '../../shared/model/failure.js';
import type { VerifyAnswer } from './command.js';

/** `failures`: of the run itself and of its stages. */
export function verifyAnswerOf(
  status: 'succeeded' | 'failed' | 'canceled',
  failures: readonly Failure[],
): VerifyAnswer {
  if (status === 'succeeded') return { kind: 'good' };
  const said = failures.find(isVerdict);
  if (status === 'failed' && said !== undefined) return { kind: 'bad', reason: describeFailure(said) };
  const [first] = failures;
  return {
    kind: 'unavailable',
    message: first === undefined ? `its run ended ${status}` : describeFailure(first),
  };
}

/** A command of it said so. One that never ran (a secret or an image that there is not) has not looked at the deployment. */
const isVerdict = (failure: Failure): boolean =>
  blameOf(failure) === 'theirs' &&
  (failure.kind === 'exit-code' ||
    failure.kind === 'timed-out' ||
    failure.kind === 'out-of-memory' ||
    failure.kind === 'log-limit');
