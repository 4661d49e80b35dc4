/** Delivery's hands put on the coordinator's loop, runs, repositories, storage and vault. */
import { Recent } from '../../shared/async/recent.js';
import type { BlobStore } from '../../shared/blob/blob-store.js';
import type { Manifest } from '../../shared/model/artifact.js';
import type { Sha256 } from '../../shared/model/ids.js';
import type { ProjectRepositories } from '../source/project-repositories.js';
import { readManifest } from '../history/read-manifest.js';
import { Deploying, type DeployingOptions } from './deploying.js';
import { Describing } from './describe.js';
import { recordKey } from './keyed-hash.js';
import { knownRuns, type KnownRunsParts } from './runs.js';

export interface DeployingParts
  extends
    Pick<KnownRunsParts, 'plans' | 'history' | 'events'>,
    Pick<DeployingOptions, 'coordinator' | 'secrets' | 'submit' | 'tell' | 'log' | 'signal'> {
  readonly repositories: Pick<ProjectRepositories, 'of'>;
  readonly blobs: Pick<BlobStore, 'getBytes'>;
  /** Of the installation: see `Keys`. */
  readonly secretsKey: Uint8Array;
}

/** Stages of one pipeline deploy the same artifacts one after the other. */
const cachedManifests = 16;

export function deployingOf(parts: DeployingParts): Deploying {
  const { repositories, blobs, secretsKey, plans, history, events, ...options } = parts;
  const { coordinator } = options;
  const runs = knownRuns({ coordinator, plans, history, events });
  const key = recordKey(secretsKey);
  const manifests = new Recent<Sha256, Manifest>(cachedManifests);
  const describing = new Describing({
    ...options,
    runs,
    key,
    manifest: async (ref, sha256, signal) => {
      const known = manifests.get(sha256) ?? (await readManifest(blobs, ref, sha256, signal));
      manifests.set(sha256, known);
      return known;
    },
  });
  return new Deploying({
    ...options,
    describing,
    runs,
    key,
    repository: (project) => repositories.of(project),
  });
}
