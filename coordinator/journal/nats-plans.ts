/** Plans in a JetStream object store, gzipped: an entry of the journal could not hold 16 MB. */
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip, gzip, gzipSync } from 'node:zlib';

import { NatsError, StorageType, type ObjectStore } from 'nats';

import { parseRunId, type RunId } from '../../shared/model/ids.js';
import type { Plan } from '../../shared/model/pipeline.js';
import { askAgain } from '../../shared/nats/nats-ask.js';
import type { NatsLink } from '../../shared/nats/nats-connection.js';
import type { NatsNames } from '../../shared/nats/names.js';
import { mayPurge } from './nats-streams.js';
import type { PlanStore } from './plans.js';

const compress = promisify(gzip);
const inflate = promisify(gunzip);

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
      const options = { max_chunk_size: 256 * 1024 };
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
      const name = Buffer.from(run).toString('base64').replaceAll('+', '-').replaceAll('/', '_');
      const filter = `$O.${names.plansBucket}.M.${name}`;
      await ask(link, () => manager.streams.purge(`OBJ_${names.plansBucket}`, { filter }));
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
