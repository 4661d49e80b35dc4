import { rm } from 'node:fs/promises';
import path from 'node:path';
import { BlobError } from '../../shared/blob/blob-error.js';
import type { PresignedUrl } from '../../shared/blob/presigned-url.js';
import type { Transfer } from '../../shared/blob/transfer.js';
import { CheckoutError } from '../../shared/git/checkout-failure.js';
import type { PresignObject } from '../../shared/model/agent.js';
import type { AttemptRef } from '../../shared/model/ids.js';
import type { RunFacts, Source } from '../../shared/model/pipeline.js';
import { checkout } from './git-workspace.js';
import { giveTree } from './give-tree.js';
import type { Mirror } from './mirror.js';
import type { Slot, Slots } from './slots.js';

export interface WorkspacesOptions {
  readonly slots: Slots;
  readonly mirror: Mirror;
  readonly transfer: Pick<Transfer, 'getFile'>;
  /** Who works here, for messages: `agent build-7`. */
  readonly place: string;
  /** Commits of history in a workspace. Default 50. */
  readonly depth?: number;
}

export interface FillRequest {
  readonly source: Source;
  readonly facts: RunFacts;
  readonly slot: Slot;
  /** Asks for the URL of a submitted tree. */
  readonly presign: (object: PresignObject, signal: AbortSignal) => Promise<PresignedUrl>;
  readonly onProgress: (activity: string, fraction?: number) => void;
}

/** Slots and what fills them with code: the directories of an attempt from its beginning to the trash. */
export class AttemptWorkspaces {
  constructor(private readonly options: WorkspacesOptions) {}

  create(ref: AttemptRef): Promise<Slot> {
    return this.options.slots.create(ref);
  }

  at(ref: AttemptRef): Slot {
    return this.options.slots.slotOf(ref);
  }

  discard(ref: AttemptRef): Promise<void> {
    return this.options.slots.discard(this.at(ref).root);
  }

  /** Throws `CheckoutError`, the signal's reason, or what `presign` throws. */
  async checkout(request: FillRequest, signal: AbortSignal): Promise<void> {
    const { source, facts, slot } = request;
    const bundlePath = path.join(slot.root, 'source.bundle');
    if (source.kind === 'bundle') await this.#download(source, bundlePath, request, signal);
    await checkout({
      source,
      workspaceDir: slot.workspace,
      mirror: this.options.mirror,
      place: this.options.place,
      signal,
      onProgress: ({ activity, fraction }) => request.onProgress(activity, fraction),
      ...(source.kind === 'bundle' ? { bundlePath } : {}),
      ...(facts.branch === undefined ? {} : { branch: facts.branch }),
      ...(this.options.depth === undefined ? {} : { depth: this.options.depth }),
    });
    await rm(bundlePath, { force: true });
  }

  giveTo(slot: Slot, owner: { readonly uid: number; readonly gid: number }): Promise<void> {
    return giveTree(slot.workspace, owner);
  }

  async #download(
    source: Extract<Source, { kind: 'bundle' }>,
    bundlePath: string,
    request: FillRequest,
    signal: AbortSignal,
  ): Promise<void> {
    request.onProgress('fetching the submitted tree');
    const url = await request.presign({ kind: 'source' }, signal);
    const { bytes, digest: sha256 } = source;
    try {
      await this.options.transfer.getFile({ url, bytes, sha256, signal }, bundlePath);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof BlobError)) throw error;
      const message = `${this.options.place} could not fetch the submitted tree: ${error.message}`;
      throw new CheckoutError({ kind: 'checkout-failed', transient: true, message }, error);
    }
  }
}
