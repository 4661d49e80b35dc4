import type { Failure } from '../../shared/model/failure.js';

/** Artifacts could not be taken or brought. Carries the failure to report. */
export class ArtifactError extends Error {
  override readonly name = 'ArtifactError';

  constructor(
    readonly failure: Extract<
      Failure,
      {
        kind:
          'artifact-missing' | 'artifact-refused' | 'artifact-conflict' | 'storage-unavailable' | 'disk-full';
      }
    >,
    cause?: unknown,
  ) {
    super('message' in failure ? failure.message : failure.kind, cause === undefined ? undefined : { cause });
  }
}

export const refused = (artifact: string, message: string, cause?: unknown): ArtifactError =>
  new ArtifactError({ kind: 'artifact-refused', artifact, message }, cause);
