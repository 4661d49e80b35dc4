/** Plans in a JetStream object store, gzipped: an entry of the journal could not hold 16 MB. */
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';

import { StorageType, type ObjectStore } from 'nats';

import { parseRunId, type RunId } from '../../shared/model/ids.js';
import type { Plan } from '../../shared/model/pipeline.js';
import { askAgain } from '../../shared/nats/nats-ask.js';
import type { NatsLink } from '../../shared/nats/nats-connection.js';
import type { NatsNames } from '../../shared/nats/names.js';
import type { PlanStore } from './plans.js';

const compress = promisify(gzip);
const inflate = promisify(gunzip);

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
  return {
    async put(plan) {
      const json = JSON.stringify(plan);
      if (json.length > maxPlanBytes)
        throw new Error(`the compiled plan has ${json.length} bytes; at most ${maxPlanBytes} are allowed`);
      const bytes = await compress(json, { level: 1 });
      const meta = { name: plan.run, options: { max_chunk_size: 256 * 1024 } };
      await askAgain(link, () => store.putBlob(meta, bytes));
    },
    async get(run) {
      const bytes = await askAgain(link, () => store.getBlob(run));
      if (bytes === null) return undefined;
      const json = await inflate(bytes, { maxOutputLength: 2 * maxPlanBytes });
      const plan: unknown = JSON.parse(json.toString());
      if (!isPlanOf(run, plan)) throw new Error(`what is stored as the plan of run ${run} is not one`);
      return plan;
    },
    async delete(run) {
      if ((await askAgain(link, () => store.info(run))) === null) return;
      await askAgain(link, () => store.delete(run));
    },
    async list() {
      const objects = await askAgain(link, () => store.list());
      return objects
        .filter((object) => !object.deleted)
        .map((object) => parseRunId(object.name))
        .filter((run) => run !== undefined);
    },
  };
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
