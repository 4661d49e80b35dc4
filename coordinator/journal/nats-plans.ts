/** Plans in a JetStream object store, gzipped: an entry of the journal could not hold 16 MB. */
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip, gzip, gzipSync } from 'node:zlib';

import { headers, NatsError, StorageType, type ObjectStore } from 'nats';

import { parseRunId, type RunId } from '../../shared/model/ids.js';
import type { Plan } from '../../shared/model/pipeline.js';
import { askAgain } from '../../shared/nats/nats-ask.js';
import type { NatsLink } from '../../shared/nats/nats-connection.js';
import type { NatsNames } from '../../shared/nats/names.js';
import { mayPurge } from './nats-streams.js';
import type { PlanStore } from './plans.js';

const compress = promisify(gzip);
const inflate = promisify(gunzip);

/** Of an object's chunks. A plan that is one of them is stored in one round trip. */
const chunkBytes = 256 * 1024;
const answerWithinMs = 15_000;
/** Below it compressing takes less than changing to another thread and back: 0.1 ms. */
const atOnceLength = 16 * 1024;
export const maxPlanBytes = 16 * 1024 * 1024;

export async function natsPlanStore(options: {
  readonly link: NatsLink;
  readonly names: NatsNames;
  readonly replicas: number;
}): Promise<PlanStore> {
  const { link, names, replicas } = options;
  const js = link.nc.jetstream();
  const store: ObjectStore = await askAgain(link, () =>
    js.views.os(names.plansBucket, { storage: StorageType.File, replicas }),
  );
  const manager = await link.nc.jetstreamManager({ checkAPI: false });
  const purging = mayPurge(link, replicas);
  const stream = `OBJ_${names.plansBucket}`;

  /**
   * As the client's object store would (NATS ADR-20), which asks for an older object, waits, stores the chunk, waits, and stores
   * what describes it: 1.7 ms of the 12 from a submit to its container. Here both go at once, in this order; and the
   * chunk's subject is the run's, where putting it again replaces it, so that there is nothing to ask for and to purge.
   */
  const putAtOnce = async (run: RunId, bytes: Uint8Array, description: string): Promise<void> => {
    const replacing = headers();
    replacing.set('Nats-Rollup', 'sub');
    const about = {
      bucket: names.plansBucket,
      name: run,
      nuid: run,
      description,
      size: bytes.length,
      chunks: 1,
      digest: `SHA-256=${urlSafe(createHash('sha256').update(bytes).digest('base64'))}`,
      mtime: new Date().toISOString(),
      deleted: false,
      options: { max_chunk_size: chunkBytes },
    };
    const publish = (subject: string, payload: Uint8Array): Promise<unknown> =>
      js.publish(subject, payload, { headers: replacing });
    const chunk = `$O.${names.plansBucket}.C.${run}`;
    const stored = await Promise.allSettled([
      publish(chunk, bytes),
      publish(descriptionSubject(names, run), Buffer.from(JSON.stringify(about))),
    ]);
    const failed = stored.find((each) => each.status === 'rejected');
    if (failed === undefined) return;
    // No list would name a chunk that nothing describes. What fails here too is told by the first failure.
    await manager.streams.purge(stream, { filter: chunk }).catch(() => undefined);
    throw failed.reason;
  };

  return {
    async put(plan) {
      const json = JSON.stringify(plan);
      if (json.length > maxPlanBytes)
        throw new Error(`the compiled plan has ${json.length} bytes; at most ${maxPlanBytes} are allowed`);
      const description = createHash('sha256').update(json).digest('hex');
      // Putting it again purges the old chunks, which this server must not do.
      if (!purging && (await ask(link, () => store.info(plan.run)))?.description === description) return;
      const bytes =
        json.length < atOnceLength ? gzipSync(json, { level: 1 }) : await compress(json, { level: 1 });
      if (purging && bytes.length <= chunkBytes) {
        await ask(link, () => putAtOnce(plan.run, bytes, description));
        return;
      }
      const options = { max_chunk_size: chunkBytes };
      await ask(link, () => store.putBlob({ name: plan.run, description, options }, bytes));
    },
    async get(run) {
      const bytes = await ask(link, () => store.getBlob(run));
      if (bytes === null) return undefined;
      const json = await inflate(bytes, { maxOutputLength: 2 * maxPlanBytes });
      const plan: unknown = JSON.parse(json.toString());
      if (!isPlanOf(run, plan)) throw new Error(`what is stored as the plan of run ${run} is not one`);
      return plan;
    },
    async delete(run) {
      if (!purging) return;
      const there = await ask(link, () => store.info(run));
      if (there === null) return;
      if (!there.deleted) await ask(link, () => store.delete(run));
      // The object store leaves a tombstone for each name, for ever.
      const filter = descriptionSubject(names, run);
      await ask(link, () => manager.streams.purge(stream, { filter }));
    },
    async list() {
      const objects = await ask(link, () => store.list());
      return objects
        .filter((object) => !object.deleted)
        .map((object) => parseRunId(object.name))
        .filter((run) => run !== undefined);
    },
  };
}

const urlSafe = (base64: string): string => base64.replaceAll('+', '-').replaceAll('/', '_');

/** Where what describes an object is stored. */
const descriptionSubject = (names: NatsNames, run: RunId): string =>
  `$O.${names.plansBucket}.M.${urlSafe(Buffer.from(run).toString('base64'))}`;

/** The client's object store waits for ever for chunks that a break swallowed; all of these may be done twice. */
function ask<T>(link: NatsLink, once: () => Promise<T>): Promise<T> {
  return askAgain(link, async () => {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(NatsError.errorForCode('TIMEOUT')), answerWithinMs);
    });
    try {
      return await Promise.race([once(), late]);
    } finally {
      clearTimeout(timer);
    }
  });
}

/** Only coordinators can write here, and they put whole plans: version and run are what may differ. */
function isPlanOf(run: RunId, value: unknown): value is Plan {
  return (
    typeof value === 'object' &&
    value !== null &&
    'v' in value &&
    value.v === 1 &&
    'run' in value &&
    value.run === run
  );
}
