/** A local tree on its way to storage: packed as a bundle, uploaded by a presigned URL unless storage has it already. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BlobError } from '../../../shared/blob/blob-error.js';
import { HttpTransfer } from '../../../shared/blob/http-transfer.js';
import { PresignedUrl } from '../../../shared/blob/presigned-url.js';
import type { BundleSource } from '../../../shared/wire/gen/gantry/v1/BundleSource.js';
import { bundleTree } from '../../source/bundle-tree.js';
import { TreeError, type TreeDescription } from '../../source/git-tree.js';
import { CliError } from '../cli-error.js';
import { exitCodes } from '../exit-codes.js';
import { size } from '../format.js';
import type { RunsApi } from '../grpc-client.js';
import type { Output } from '../output.js';

export interface SentTree {
  readonly source: BundleSource;
  readonly branch: string | undefined;
  readonly dirty: boolean;
}

export async function sendTree(request: {
  readonly api: RunsApi;
  readonly output: Output;
  readonly tree: TreeDescription;
  readonly ca: string | undefined;
  readonly signal: AbortSignal;
}): Promise<SentTree> {
  const { api, output, tree, signal } = request;
  const directory = await mkdtemp(join(tmpdir(), 'gantry-submit-'));
  try {
    const file = join(directory, 'tree.bundle');
    const bundle = await bundleTree(tree.root, file, { tree, signal });
    const prepared = await api.prepareSource({ digest: bundle.digest, bytes: bundle.bytes });
    if (prepared.present !== true) {
      if (bundle.bytes > 20 * 1024 * 1024) output.note(`uploading ${size(bundle.bytes)} …`);
      await upload(file, prepared.put?.url ?? '', request.ca, signal);
    }
    return {
      source: {
        digest: bundle.digest,
        bytes: bundle.bytes,
        commit: bundle.commit,
        shallow: [...bundle.shallow],
        baseCommit: bundle.baseCommit ?? '',
        projectName: bundle.projectName,
        title: bundle.title,
        author: bundle.author,
      },
      branch: bundle.branch,
      dirty: bundle.dirty,
    };
  } catch (error) {
    if (error instanceof TreeError) throw new CliError(exitCodes.usage, error.message, { cause: error });
    if (error instanceof BlobError) {
      throw new CliError(exitCodes.ours, `the tree could not be sent: ${error.message}`, {
        remedies: ['`gantry doctor` checks the storage as this machine reaches it'],
        cause: error,
      });
    }
    throw error;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function upload(file: string, url: string, ca: string | undefined, signal: AbortSignal): Promise<void> {
  const transfer = new HttpTransfer(ca === undefined ? {} : { ca });
  try {
    await transfer.putFile({ file }, new PresignedUrl(url), signal);
  } finally {
    transfer.close();
  }
}
