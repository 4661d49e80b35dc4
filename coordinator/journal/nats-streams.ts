/**
 * Makes the streams and the object store that the coordinator needs, or checks those that are there. All refuse new
 * messages when full (what is stored is never dropped), and LOGS may fill at most half of the store, so that logs can
 * never starve the journal.
 */
import {
  DiscardPolicy,
  NatsError,
  RetentionPolicy,
  StorageType,
  type JetStreamManager,
  type StreamConfig,
  type StreamInfo,
} from 'nats';

import type { Logger } from '../../shared/log.js';
import { askAgain } from '../../shared/nats/nats-ask.js';
import type { NatsLink } from '../../shared/nats/nats-connection.js';
import type { NatsNames } from '../../shared/nats/names.js';

export interface StreamOptions {
  readonly link: NatsLink;
  readonly names: NatsNames;
  /** Copies of each stream: 1, or 3 in a cluster of at least three servers. */
  readonly replicas: number;
  /** Ceiling of LOGS in bytes; lowered to half of what the server has. Default 64 GiB. */
  readonly logsBytes?: number;
  readonly log: Logger;
}

/** The server cannot serve as Gantry's: a sentence that says why and what to do. */
export class NatsUnsuitable extends Error {
  override readonly name = 'NatsUnsuitable';
}

const gibibyte = 1024 ** 3;
const smallestLogsBytes = 16 * 1024 ** 2;
const probing = 'reserves what the server has, to be halved';
const insufficientStorage = new Set([10047, 10028, 10002, 10023]);

/** Throws NatsUnsuitable. Safe to repeat, and for several coordinators at once. */
export async function ensureStreams(options: StreamOptions): Promise<void> {
  const { link, names, replicas, log } = options;
  checkServer(link, log, replicas);
  const manager = await managerOf(link);
  const base: Partial<StreamConfig> = {
    storage: StorageType.File,
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.New,
    num_replicas: replicas,
    allow_direct: true,
  };
  await ensure(manager, {
    ...base,
    name: names.journalStream,
    subjects: [names.journalSubject],
    // Entries are never deleted one by one; the journal is purged up to a snapshot.
    deny_delete: true,
  });
  await ensure(manager, {
    ...base,
    name: names.runsStream,
    subjects: [names.runsSubjects],
    max_msgs_per_subject: 1,
  });
  await ensureLogs(manager, { ...base, name: names.logsStream, subjects: [names.logsSubjects] }, options);
  await link.nc
    .jetstream()
    .views.os(names.plansBucket, { storage: StorageType.File, replicas, description: 'compiled plans' });
}

/** Purging replicated streams is safe only on servers that do not replay a logged purge after a restart. */
export function mayPurge(link: NatsLink, replicas: number): boolean {
  return replicas === 1 || compareVersions(link.nc.info?.version ?? '0', '2.9.18') >= 0;
}

function checkServer(link: NatsLink, log: Logger, replicas: number): void {
  const version = link.nc.info?.version ?? 'unknown';
  if (compareVersions(version, '2.9.0') < 0)
    throw new NatsUnsuitable(`this is nats-server ${version}; Gantry needs 2.9 or newer: upgrade it`);
  if (link.nc.info?.headers !== true || link.nc.info.jetstream !== true)
    throw new NatsUnsuitable(
      'JetStream is off on this NATS server: add `jetstream { store_dir: "…" }` to its configuration, or use the one that `gantry nats init` writes',
    );
  if (!mayPurge(link, replicas))
    log.warn(
      { version },
      'replicated streams are not purged on this nats-server, as it may lose more than was purged after a restart: upgrade to 2.9.18 or newer',
    );
}

async function managerOf(link: NatsLink): Promise<JetStreamManager> {
  try {
    const manager = await link.nc.jetstreamManager({ checkAPI: false });
    // A cluster that is starting has no leader yet.
    await askAgain(link, () => manager.getAccountInfo());
    return manager;
  } catch (error) {
    if (error instanceof NatsError && (error.code === '503' || error.api_error?.code === 503))
      throw new NatsUnsuitable(
        "JetStream is not enabled for this user's account: give the account storage limits, or use the configuration that `gantry nats init` writes",
        { cause: error },
      );
    throw error;
  }
}

async function ensure(
  manager: JetStreamManager,
  wanted: Partial<StreamConfig> & { name: string },
): Promise<void> {
  const found = await find(manager, wanted.name);
  if (found !== undefined) return verify(manager, found, wanted);
  try {
    await manager.streams.add(wanted);
  } catch (error) {
    if (!(error instanceof NatsError)) throw error;
    // Another coordinator made it meanwhile.
    const meanwhile = await find(manager, wanted.name);
    if (meanwhile !== undefined) return verify(manager, meanwhile, wanted);
    throw unmakeable(wanted.name, error);
  }
}

async function verify(
  manager: JetStreamManager,
  found: StreamInfo,
  wanted: Partial<StreamConfig> & { name: string },
): Promise<void> {
  const { config } = found;
  const same =
    config.subjects.join() === wanted.subjects?.join() &&
    config.storage === wanted.storage &&
    config.retention === wanted.retention &&
    config.max_msgs_per_subject === (wanted.max_msgs_per_subject ?? -1);
  if (!same)
    throw new NatsUnsuitable(
      `stream ${wanted.name} exists on this server and is not Gantry's (subjects ${config.subjects.join(', ')}): use another prefix, or another account`,
    );
  if (config.discard !== DiscardPolicy.New || config.num_replicas !== wanted.num_replicas)
    await manager.streams.update(wanted.name, {
      ...config,
      discard: DiscardPolicy.New,
      ...(wanted.num_replicas === undefined ? {} : { num_replicas: wanted.num_replicas }),
    });
}

/**
 * An account without limits cannot ask how large the store is. But the server reserves a stream's `max_bytes`, so the
 * largest halving of a large number that it grants lies between half of what is free and all of it; LOGS then gets
 * half of that.
 */
async function ensureLogs(
  manager: JetStreamManager,
  wanted: Partial<StreamConfig> & { name: string },
  options: StreamOptions,
): Promise<void> {
  const found = await find(manager, wanted.name);
  if (found !== undefined) {
    await verify(manager, found, wanted);
    // Its maker died on the way.
    if (found.config.description === probing) await halve(manager, found.config);
    return;
  }
  const { limits } = await manager.getAccountInfo();
  const account = limits.max_storage > 0 ? limits.max_storage : Infinity;
  let probe = Math.min(2 * (options.logsBytes ?? 64 * gibibyte), account);
  for (;;) {
    if (probe / 2 < smallestLogsBytes)
      throw new NatsUnsuitable(
        `the NATS server has less than ${(2 * smallestLogsBytes) / 1024 ** 2} MiB of storage left: raise \`max_file_store\` in its configuration or free space`,
      );
    try {
      await manager.streams.add({ ...wanted, max_bytes: Math.floor(probe), description: probing });
      break;
    } catch (error) {
      const code = error instanceof NatsError ? error.api_error?.err_code : undefined;
      const meanwhile = await find(manager, wanted.name);
      if (meanwhile !== undefined) return verify(manager, meanwhile, wanted);
      // A cluster says it in words only: the code is that of all placements that fail.
      const lacksStorage = code === 10005 && /storage/.test(error instanceof Error ? error.message : '');
      if (!lacksStorage && !insufficientStorage.has(code ?? 0)) throw unmakeable(wanted.name, error);
      probe /= 2;
    }
  }
  const { config } = await manager.streams.info(wanted.name);
  await halve(manager, config);
  options.log.info({ stream: wanted.name, bytes: Math.floor(probe / 2) }, 'stream made');
}

async function halve(manager: JetStreamManager, config: StreamConfig): Promise<void> {
  const half = { max_bytes: Math.floor(config.max_bytes / 2), description: 'logs of running attempts' };
  await manager.streams.update(config.name, { ...config, ...half });
}

const unmakeable = (name: string, error: unknown): NatsUnsuitable =>
  new NatsUnsuitable(
    `stream ${name} cannot be made: ${error instanceof Error ? error.message : String(error)}`,
    { cause: error },
  );

async function find(manager: JetStreamManager, name: string): Promise<StreamInfo | undefined> {
  try {
    return await manager.streams.info(name);
  } catch (error) {
    if (error instanceof NatsError && error.api_error?.err_code === 10059) return undefined;
    throw error;
  }
}

/** Negative, 0 or positive, by the numbers of `2.9.10`; what follows them does not count. */
export function compareVersions(a: string, b: string): number {
  const numbers = (text: string): readonly number[] =>
    text.split(/[.-]/, 3).map((part) => (/^\d+$/.test(part) ? Number(part) : 0));
  const right = numbers(b);
  for (const [index, value] of numbers(a).entries()) {
    const difference = value - (right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
