/** Manifests of attempts, from storage. */
import { createHash } from 'node:crypto';
import { BlobError } from '../../shared/blob/blob-error.js';
import type { BlobStore } from '../../shared/blob/blob-store.js';
import { manifestKey } from '../../shared/blob/layout.js';
import type { Manifest } from '../../shared/model/artifact.js';
import type { AttemptRef, Sha256 } from '../../shared/model/ids.js';
import { parseManifest } from '../../shared/model/manifest.js';

const maxManifestBytes = 64 * 1024 * 1024;

/**
 * Throws `BlobError`: `blob-not-found`, `verification-failed` when it is not what the attempt's agent stored (the journal has
 * its SHA-256) or no manifest, and what storage says.
 */
export async function readManifest(
  blobs: Pick<BlobStore, 'getBytes'>,
  ref: AttemptRef,
  sha256: Sha256,
  signal?: AbortSignal,
): Promise<Manifest> {
  const bytes = await blobs.getBytes(manifestKey(ref), {
    maxBytes: maxManifestBytes,
    ...(signal === undefined ? {} : { signal }),
  });
  const damaged = (actual: string): BlobError =>
    new BlobError({
      kind: 'verification-failed',
      what: `the manifest of stage ${ref.stage} of run ${ref.run}`,
      expected: sha256,
      actual,
    });
  const actual = createHash('sha256').update(bytes).digest('hex');
  if (actual !== sha256) throw damaged(actual);
  const parsed = parseManifest(json(bytes));
  if (parsed.kind === 'invalid') throw damaged(parsed.message);
  return parsed.manifest;
}

function json(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    // What is no JSON is no manifest either, and is told as one.
    return undefined;
  }
}
