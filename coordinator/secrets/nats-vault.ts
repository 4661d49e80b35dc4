/**
 * The vault in a key-value bucket: key `<project>.<space>.<base64url of the name>`, so that nothing a person wrote becomes
 * a subject; value `{v, name, at, by, sealed}`, of which all but the sealed value may be listed. Reads go to the stream's
 * leader and not to a replica, which may lag: what another coordinator has set is seen at once.
 */
import { StorageType } from 'nats';

import type { ProjectId } from '../../shared/model/ids.js';
import { askAgain, errorCode, notFound } from '../../shared/nats/nats-ask.js';
import type { NatsLink } from '../../shared/nats/nats-connection.js';
import type { NatsNames } from '../../shared/nats/names.js';
import { open, seal, SealError, type SealContext } from './seal.js';
import type { Vault, VaultEntry, VaultSlot } from './vault.js';

interface Stored {
  readonly v: 1;
  readonly name: string;
  readonly at: number;
  readonly by: string;
  readonly sealed: string;
}

export async function natsVault(options: {
  readonly link: NatsLink;
  readonly names: NatsNames;
  readonly replicas: number;
  /** 32 bytes; of the installation. */
  readonly key: Uint8Array;
  /** Wall time, ms. */
  readonly now: () => number;
}): Promise<Vault> {
  const { link, names, replicas, key, now } = options;
  const bucket = names.secretsBucket;
  const store = await askAgain(link, () =>
    link.nc.jetstream().views.kv(bucket, {
      storage: StorageType.File,
      replicas,
      // One: what is replaced or removed is gone from the disk, but for blocks that the server has not rewritten yet.
      history: 1,
      description: 'secrets and credentials, sealed',
    }),
  );
  const manager = await link.nc.jetstreamManager({ checkAPI: false });

  /** Undefined: never set, or removed. */
  const stored = async (entry: string): Promise<Stored | undefined> => {
    try {
      const ask = { last_by_subj: `$KV.${bucket}.${entry}` };
      const message = await askAgain(link, () => manager.streams.getMessage(`KV_${bucket}`, ask));
      if (message.header.get('KV-Operation') !== '') return undefined;
      return storedOf(message.json(), entry);
    } catch (error) {
      if (errorCode(error) === notFound.message) return undefined;
      throw error;
    }
  };
  /** Keys below a prefix, those of removed entries too. */
  const keysBelow = async (prefix: string): Promise<readonly string[]> => {
    const filter = { subjects_filter: `$KV.${bucket}.${prefix}.>` };
    const info = await askAgain(link, () => manager.streams.info(`KV_${bucket}`, filter));
    return Object.keys(info.state.subjects ?? {}).map((subject) => subject.slice(`$KV.${bucket}.`.length));
  };

  return {
    async set(slot, value, by) {
      const at = now();
      const sealed = seal(key, value, contextOf(slot, { at, by }));
      const entry: Stored = { v: 1, name: slot.name, at, by, sealed };
      await askAgain(link, () => store.put(keyOf(slot), JSON.stringify(entry)));
    },
    async remove(slot) {
      if ((await stored(keyOf(slot))) === undefined) return false;
      await askAgain(link, () => store.delete(keyOf(slot)));
      return true;
    },
    async read(slot) {
      const entry = await stored(keyOf(slot));
      if (entry === undefined) return undefined;
      try {
        return open(key, entry.sealed, contextOf(slot, entry));
      } catch (error) {
        if (!(error instanceof SealError)) throw error;
        throw new Error(
          `${slot.space} ${JSON.stringify(slot.name)} of project ${slot.project} cannot be opened: ${error.message}. Give this coordinator the secrets.key that the others have, or set the value again`,
          { cause: error },
        );
      }
    },
    async list(project, space) {
      const entries: VaultEntry[] = [];
      for (const entryKey of await keysBelow(`${project}.${space}`)) {
        const entry = await stored(entryKey);
        if (entry === undefined) continue;
        const slot = { project, space, name: entry.name };
        entries.push({ slot, changedAt: entry.at, changedBy: entry.by });
      }
      return entries.sort((a, b) => (a.slot.name < b.slot.name ? -1 : 1));
    },
    async removeProject(project: ProjectId) {
      for (const entryKey of await keysBelow(project)) {
        if ((await stored(entryKey)) !== undefined) await askAgain(link, () => store.delete(entryKey));
      }
    },
  };
}

const keyOf = (slot: VaultSlot): string =>
  `${slot.project}.${slot.space}.${Buffer.from(slot.name).toString('base64url')}`;

/** Who set it and when is part of what the seal proves. */
const contextOf = (slot: VaultSlot, stored: Pick<Stored, 'at' | 'by'>): SealContext => [
  slot.project,
  slot.space,
  slot.name,
  stored.at,
  stored.by,
];

/** Only coordinators can write here; an entry of another kind is of a newer one. */
function storedOf(value: unknown, entry: string): Stored {
  if (
    typeof value === 'object' &&
    value !== null &&
    'v' in value &&
    value.v === 1 &&
    'name' in value &&
    typeof value.name === 'string' &&
    'at' in value &&
    typeof value.at === 'number' &&
    'by' in value &&
    typeof value.by === 'string' &&
    'sealed' in value &&
    typeof value.sealed === 'string'
  ) {
    return { v: 1, name: value.name, at: value.at, by: value.by, sealed: value.sealed };
  }
  throw new Error(`entry ${entry} of the vault was written by another version of Gantry`);
}
