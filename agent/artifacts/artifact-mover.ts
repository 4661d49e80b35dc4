import type { PresignedUrl } from '../../shared/blob/presigned-url.js';
import type { Transfer } from '../../shared/blob/transfer.js';
import type { NeededArtifacts, PresignObject } from '../../shared/model/agent.js';
import type { PlannedArtifact } from '../../shared/model/pipeline.js';
import type { ArtifactUpload } from './artifact-access.js';
import { keepArtifacts, type KeptArtifacts } from './pack.js';
import { restoreArtifacts } from './restore.js';

interface AttemptSlot {
  /** Beside the workspace, out of reach of steps: archives are written here before they are sent. */
  readonly root: string;
  readonly workspace: string;
}

type Presign = (object: PresignObject, signal: AbortSignal) => Promise<PresignedUrl>;

export interface BringRequest {
  readonly needs: readonly NeededArtifacts[];
  readonly slot: AttemptSlot;
  readonly presign: Presign;
  readonly onProgress: (activity: string) => void;
}

export interface StoreRequest {
  readonly artifacts: readonly PlannedArtifact[];
  readonly slot: AttemptSlot;
  readonly presign: Presign;
  readonly upload: (artifact: { readonly number: number; readonly bytes: number }) => ArtifactUpload;
  readonly onProgress: (activity: string) => void;
}

/** Artifacts into and out of the workspaces of one agent; see `restoreArtifacts` and `keepArtifacts`. */
export class BlobArtifactMover {
  constructor(private readonly transfer: Transfer) {}

  restore(request: BringRequest, signal: AbortSignal): Promise<void> {
    return restoreArtifacts({
      workspaceDir: request.slot.workspace,
      needs: request.needs,
      presign: request.presign,
      transfer: this.transfer,
      signal,
      onProgress: request.onProgress,
    });
  }

  store(request: StoreRequest, signal: AbortSignal): Promise<KeptArtifacts> {
    return keepArtifacts({
      workspaceDir: request.slot.workspace,
      artifacts: request.artifacts,
      scratchDir: request.slot.root,
      access: { presign: request.presign, upload: request.upload },
      transfer: this.transfer,
      signal,
      onProgress: request.onProgress,
    });
  }
}
