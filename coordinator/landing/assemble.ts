/** The gate's hands put on the coordinator's loop, repositories, storage and vault. */
import { randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { bundleKey } from '../../shared/blob/layout.js';
import type { BlobStore } from '../../shared/blob/blob-store.js';
import { base32Of, parseRunId, type RunId } from '../../shared/model/ids.js';
import type { Logger } from '../../shared/log.js';
import type { Coordinator } from '../coordinator.js';
import type { GateRepositories } from '../source/gate-repositories.js';
import { Chores, type ChoresOptions } from './chores.js';
import { GateRuns, type GateRunsOptions } from './gate-runs.js';
import { Landing } from './landing.js';
import { RefWatch } from './ref-watch.js';

export interface LandingParts extends Pick<GateRunsOptions, 'submit' | 'ended'>, Pick<ChoresOptions, 'tell'> {
  readonly coordinator: () => Coordinator;
  readonly repositories: GateRepositories;
  readonly blobs: BlobStore;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

export interface Gatework {
  readonly landing: Landing;
  readonly watch: RefWatch;
}

export function gateworkOf(parts: LandingParts): Gatework {
  const { coordinator, repositories, blobs, submit, ended, tell, log, signal } = parts;
  const repository: ConstructorParameters<typeof Landing>[0]['repository'] = (project) =>
    repositories.of(project);
  const landing = new Landing({
    coordinator,
    repository,
    bundles: {
      put: async (file, { digest, bytes }, aborted) => {
        const key = bundleKey(digest);
        if ((await blobs.head(key, { signal: aborted }))?.bytes === bytes) return;
        await blobs.put(key, { stream: createReadStream(file), bytes }, { signal: aborted });
      },
      get: async ({ digest }, file, aborted) => {
        const { body } = await blobs.get(bundleKey(digest), { signal: aborted });
        await pipeline(body, createWriteStream(file), { signal: aborted });
      },
    },
    runs: new GateRuns({ coordinator, submit, ended, newRunId, signal }),
    chores: new Chores({ coordinator, repository, tell }),
    newRunId,
    log,
    signal,
  });
  return { landing, watch: new RefWatch({ coordinator, repository, log, signal }) };
}

function newRunId(): RunId {
  const run = parseRunId(base32Of(randomBytes(10)));
  if (run === undefined) throw new Error('base32Of made something that is no run id');
  return run;
}
