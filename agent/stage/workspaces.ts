/** Workspaces as the recipe wants them, out of slots, mirrors and checkouts. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Transfer } from '../../shared/blob/transfer.js';
import type { Source } from '../../shared/model/pipeline.js';
import type { SlotDirectories } from '../executor/executor.js';
import { checkout } from '../workspace/git-workspace.js';
import type { KeptTrees } from '../workspace/kept-trees.js';
import type { Mirror } from '../workspace/mirror.js';
import type { Slots } from '../workspace/slots.js';
import { StageError, type CheckoutRequest, type Owner, type Workspaces } from './tools.js';

export interface WorkspacesOptions {
  readonly slots: Slots;
  readonly mirror: Mirror;
  readonly kept: KeptTrees;
  readonly transfer: Pick<Transfer, 'getFile'>;
  /** For messages: `agent build-7`. */
  readonly place: string;
}

export function createWorkspaces(options: WorkspacesOptions): Workspaces {
  const { slots, mirror, kept, place } = options;
  return {
    create: async (ref) => {
      const slot = await slots.create(ref);
      // A step that drops to another user must get in. The slot around it stays closed to the rest of the machine.
      chmodSync(slot.workspace, 0o755);
      return slot;
    },
    at: (ref) => slots.slotOf(ref),
    discardWorkspace: (ref) => slots.discard(slots.slotOf(ref).workspace),
    discard: (ref) => slots.discard(slots.slotOf(ref).root),
    checkout: async (request, signal) => {
      const { source, facts, slot, credential, onProgress } = request;
      let bundlePath: string | undefined;
      onProgress('checking out');
      await checkout({
        source,
        workspaceDir: slot.workspace,
        mirror,
        credential,
        kept,
        ...(source.kind === 'git'
          ? {}
          : { bundle: async () => (bundlePath = await fetchBundle(options, source, request, signal)) }),
        ...(facts.branch === undefined ? {} : { branch: facts.branch }),
        place,
        signal,
        onProgress: ({ activity, fraction }) => onProgress(activity, fraction),
      });
      if (bundlePath !== undefined) await rm(bundlePath, { force: true });
    },
    giveTo,
  };
}

/** Beside the workspace, where no step can reach it. */
async function fetchBundle(
  { transfer }: WorkspacesOptions,
  source: Extract<Source, { kind: 'bundle' }>,
  { slot, presign, onProgress }: CheckoutRequest,
  signal: AbortSignal,
): Promise<string> {
  const path = join(slot.root, 'source.bundle');
  onProgress('fetching the submitted tree');
  const url = await presign({ kind: 'source' }, signal);
  await transfer.getFile({ url, bytes: source.bytes, sha256: source.digest, signal }, path);
  return path;
}

/**
 * By `chown`, which descends by descriptor and as fast as the disk allows. Nothing hostile has run in the workspace yet,
 * but links are already there, from the commit: they are changed, not followed.
 */
async function giveTo(slot: SlotDirectories, owner: Owner): Promise<void> {
  if (owner.uid === process.getuid?.() && owner.gid === process.getgid?.()) return;
  const child = spawn('chown', ['-R', '-h', '-P', '--', `${owner.uid}:${owner.gid}`, slot.workspace], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8');
  child.stderr.on('data', (text: string) => {
    if (said.length < 2000) said += text;
  });
  const [code] = (await once(child, 'close')) as [number | null]; // The arguments of `close`.
  if (code === 0) return;
  const message = `the workspace cannot be given to user ${owner.uid} that the image runs as: ${said.trim()}`;
  throw new StageError({ kind: 'box-broken', message });
}
