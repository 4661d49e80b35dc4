import { planParts } from '../../shared/blob/parts.js';
import type { FileSource, Transfer } from '../../shared/blob/transfer.js';
import type { Sha256 } from '../../shared/model/ids.js';
import type { ArtifactUpload } from './artifact-access.js';

/**
 * Sends a file by one put or, when it is large, by parts. An upload by parts that fails is aborted, so that its parts do
 * not stay in storage.
 */
export async function uploadFile(
  source: FileSource & { readonly bytes: number },
  upload: ArtifactUpload,
  { transfer, signal }: { readonly transfer: Transfer; readonly signal: AbortSignal },
): Promise<{ readonly bytes: number; readonly sha256: Sha256 }> {
  const plan = planParts(source.bytes);
  if (plan.kind === 'single') return transfer.putFile(source, await upload.single(signal), signal);
  try {
    const sent = await transfer.putParts(
      source,
      {
        partBytes: plan.partBytes,
        parallel: 4,
        urlsFor: async (parts) => upload.parts(parts[0] ?? 1, parts.length, signal),
      },
      signal,
    );
    await upload.finish(
      [...sent.parts].sort((a, b) => a.part - b.part).map(({ etag }) => etag),
      signal,
    );
    return sent;
  } catch (error) {
    await upload.abort().catch(() => undefined); // storage or coordinator is away: expiry removes the parts
    throw error;
  }
}
