/** What is told of a step besides its log may quote what it wrote. */
import type { Failure } from '../../shared/model/failure.js';
import type { StepResult } from '../executor/executor.js';
import type { StageSecrets } from './secrets.js';

type Mask = Pick<StageSecrets, 'mask'>;

export function maskedFailure(failure: Failure, secrets: Mask): Failure {
  return 'message' in failure ? { ...failure, message: secrets.mask(failure.message) } : failure;
}

export function maskedResult(result: StepResult, secrets: Mask): StepResult {
  const { exit, incomplete, notes } = result;
  return {
    ...result,
    exit: exit.kind === 'failed' ? { ...exit, failure: maskedFailure(exit.failure, secrets) } : exit,
    ...(incomplete === undefined ? {} : { incomplete: secrets.mask(incomplete) }),
    ...(notes === undefined ? {} : { notes: notes.map((note) => secrets.mask(note)) }),
  };
}
