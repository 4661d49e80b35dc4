import type { BlobError } from '../../shared/blob/blob-error.js';
import { ArtifactError, refused } from './artifact-error.js';

/** The failure to report when moving an artifact's bytes failed: whose it is depends on what happened. */
export function storageFailure(error: BlobError, what: string): ArtifactError {
  switch (error.failure.kind) {
    case 'source-changed':
      return refused(what, error.message, error);
    case 'storage-unavailable':
    case 'blob-not-found':
    case 'precondition-failed':
    case 'verification-failed':
    case 'refused':
      return new ArtifactError({ kind: 'storage-unavailable', message: `${what}: ${error.message}` }, error);
  }
}
