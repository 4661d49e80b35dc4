/**
 * The directory in a key-value bucket: one entry a user, key `user.<hash of the name>`, so that nothing a person wrote
 * becomes a subject. Every coordinator reads it at its start and follows it; reads are from that copy. Writes state the
 * entry's revision (its sequence in the bucket's stream).
 */
import { createHash } from 'node:crypto';
import { StorageType } from 'nats';
import type { Logger } from '../../shared/log.js';
import { base32Of } from '../../shared/model/ids.js';
import { askAgain, errorCode, notFound } from '../../shared/nats/nats-ask.js';
import type { NatsLink } from '../../shared/nats/nats-connection.js';
import { createPublisher, isWrongLast } from '../../shared/nats/nats-publisher.js';
import { readStream, type StreamMessage } from '../../shared/nats/nats-stream-reader.js';
import type { NatsNames } from '../../shared/nats/names.js';
import { DirectoryFull, DirectoryUnavailable, type AccessToken, type Directory } from './directory.js';
import {
  goodTokens,
  isForgettable,
  isGood,
  maxTokens,
  newRecord,
  parseRecord,
  pruned,
  removed,
  withRevoked,
  withToken,
  withUse,
  type UserRecord,
} from './user-record.js';

const maxUsers = 10_000;
/** Others that change the same user at the same moment, one after the other, before this one gets its turn. */
const maxTries = 20;

interface Entry {
  readonly revision: number;
  /** Undefined: deleted. `foreign`: written by a newer version, and not to be replaced by this one. */
  readonly record: UserRecord | 'foreign' | undefined;
}

/** What a change makes of an entry; undefined: nothing is to be changed. */
type Change = (record: UserRecord | undefined) => UserRecord | undefined;

export async function natsDirectory(options: {
  readonly link: NatsLink;
  readonly names: NatsNames;
  readonly replicas: number;
  /** Wall time, ms. */
  readonly now: () => number;
  readonly log: Logger;
}): Promise<Directory> {
  const { link, names, replicas, now, log } = options;
  const bucket = names.accessBucket;
  const stream = `KV_${bucket}`;
  const subjects = `$KV.${bucket}.`;
  await askAgain(link, () =>
    link.nc.jetstream().views.kv(bucket, {
      storage: StorageType.File,
      replicas,
      history: 1,
      description: 'users and hashes of their tokens',
    }),
  );
  const manager = await link.nc.jetstreamManager({ checkAPI: false });
  const publisher = createPublisher({ link, timeoutMs: 5_000 });
  const stop = new AbortController();
  const entries = new Map<string, Entry>();
  /** The key of a token's user, by the token's id. */
  const owners = new Map<string, string>();
  const noting = new Set<string>();

  const recordAt = (key: string): UserRecord | undefined => {
    const record = entries.get(key)?.record;
    return record === 'foreign' ? undefined : record;
  };
  const take = (key: string, entry: Entry): void => {
    // What this coordinator wrote comes again from the stream, perhaps after a newer one of its own.
    if ((entries.get(key)?.revision ?? 0) >= entry.revision) return;
    for (const token of recordAt(key)?.tokens ?? []) owners.delete(token.id);
    entries.set(key, entry);
    for (const token of recordAt(key)?.tokens ?? []) owners.set(token.id, key);
  };
  const takeMessage = ({ subject, sequence, headers, data }: StreamMessage): void => {
    const key = subject.slice(subjects.length);
    const isDeleted = (headers?.get('KV-Operation') ?? '') !== '';
    const record = isDeleted ? undefined : (parseRecord(Buffer.from(data).toString()) ?? 'foreign');
    if (record === 'foreign') log.error({ key }, `a user ${cannotBeRead}`);
    take(key, { revision: sequence, record });
  };

  const { state } = await askAgain(link, () => manager.streams.info(stream));
  const read = (from: number, until: number | undefined): AsyncGenerator<readonly StreamMessage[]> =>
    readStream({
      link,
      stream,
      from,
      ...(until === undefined ? {} : { until }),
      window: 500,
      signal: stop.signal,
    });
  if (state.messages > 0) {
    for await (const batch of read(state.first_seq, state.last_seq)) batch.forEach(takeMessage);
  }
  const follow = async (): Promise<void> => {
    for await (const batch of read(state.last_seq + 1, undefined)) batch.forEach(takeMessage);
  };
  let failure: Error | undefined;
  const following = follow().catch((error: unknown) => {
    if (stop.signal.aborted) return;
    // A revocation at another coordinator would not be seen: nobody is let in any more.
    failure = new Error('the directory of users is not followed any more', { cause: error });
    log.error({ err: error }, failure.message);
  });

  /** As the bucket has it now, for a writer whose copy was too old. */
  const fetch = async (key: string): Promise<void> => {
    try {
      const ask = { last_by_subj: subjects + key };
      const message = await askAgain(link, () => manager.streams.getMessage(stream, ask));
      const { subject, seq: sequence, header: headers, data } = message;
      takeMessage({ subject, sequence, headers, data });
    } catch (error) {
      if (errorCode(error) !== notFound.message) throw error;
      entries.delete(key);
    }
  };

  /** Makes the change to the newest record. Resolves with what it made, and what was there before. */
  const change = async (
    key: string,
    make: Change,
  ): Promise<{ readonly before: UserRecord | undefined; readonly after: UserRecord | undefined }> => {
    for (let tries = 0; tries < maxTries; tries += 1) {
      const known = entries.get(key);
      if (known?.record === 'foreign') throw new DirectoryUnavailable(`this user ${cannotBeRead}`);
      const made = make(known?.record);
      if (made === undefined) return { before: known?.record, after: undefined };
      const record = pruned(made, now());
      const outcome = await publisher.publish(subjects + key, Buffer.from(JSON.stringify(record)), {
        'Nats-Expected-Last-Subject-Sequence': String(known?.revision ?? 0),
      });
      if (outcome.kind === 'stored') {
        take(key, { revision: outcome.sequence, record });
        return { before: known?.record, after: record };
      }
      if (outcome.kind === 'unknown' || !isWrongLast(outcome.code)) {
        throw new DirectoryUnavailable(`the directory of users did not take a change: ${outcome.message}`);
      }
      await fetch(key);
    }
    throw new DirectoryUnavailable('others change this user all the time: try again');
  };

  const live = (name: string): UserRecord | undefined => {
    const record = recordAt(keyOf(name));
    return record?.removedAt === undefined ? record : undefined;
  };
  const records = (): readonly UserRecord[] =>
    [...entries.keys()]
      .map(recordAt)
      .filter((record) => record !== undefined)
      .filter(({ removedAt }) => removedAt === undefined);
  const tokenOf = (id: string): AccessToken | undefined => {
    const key = owners.get(id);
    return key === undefined ? undefined : recordAt(key)?.tokens.find((token) => token.id === id);
  };

  /** Users who were removed long ago; nobody waits for it. */
  const sweep = async (): Promise<void> => {
    for (const [key, { revision }] of [...entries]) {
      const record = recordAt(key);
      if (record === undefined || !isForgettable(record, now())) continue;
      await publisher.publish(subjects + key, new Uint8Array(), {
        'KV-Operation': 'DEL',
        'Nats-Expected-Last-Subject-Sequence': String(revision),
      });
    }
  };
  void sweep();

  return {
    user: (name) => live(name)?.user,
    users: () =>
      records()
        .map(({ user }) => user)
        .sort((a, b) => (a.name < b.name ? -1 : 1)),
    token(id) {
      if (failure !== undefined) throw new DirectoryUnavailable(failure.message);
      return tokenOf(id);
    },
    tokens: () =>
      records()
        .flatMap(({ tokens }) => tokens)
        .filter((token) => isGood(token, now()))
        .sort((a, b) => a.createdAt - b.createdAt),
    async addUser(user) {
      if (entries.size >= maxUsers) {
        throw new DirectoryFull(`there are ${maxUsers} users: remove some (gantry users remove)`);
      }
      const { after } = await change(keyOf(user.name), (record) =>
        record !== undefined && record.removedAt === undefined ? undefined : newRecord(user, record),
      );
      return after === undefined ? 'exists' : 'added';
    },
    async changeUser(name, wanted) {
      const { after } = await change(keyOf(name), (record) =>
        record === undefined || record.removedAt !== undefined
          ? undefined
          : { ...record, user: { ...record.user, ...wanted } },
      );
      return after?.user;
    },
    async removeUser(name, at) {
      const { before, after } = await change(keyOf(name), (record) =>
        record === undefined || record.removedAt !== undefined ? undefined : removed(record, at),
      );
      return before === undefined || after === undefined ? undefined : goodTokens(before, at);
    },
    async addToken(token) {
      const { after } = await change(keyOf(token.user), (record) => {
        if (record === undefined || record.removedAt !== undefined) return undefined;
        if (goodTokens(record, now()) >= maxTokens) {
          throw new DirectoryFull(
            `user ${token.user} has ${maxTokens} tokens: revoke some (gantry tokens ls, gantry tokens revoke)`,
          );
        }
        return withToken(record, token);
      });
      return after === undefined ? 'no-user' : 'added';
    },
    async revokeToken(id, at) {
      const key = owners.get(id);
      if (key === undefined) return undefined;
      const { after } = await change(key, (record) => record && withRevoked(record, id, at));
      return after?.tokens.find((token) => token.id === id);
    },
    noteUse(id, at) {
      const key = owners.get(id);
      const record = key === undefined ? undefined : recordAt(key);
      if (key === undefined || record === undefined || noting.has(key)) return;
      if (withUse(record, id, at) === undefined) return;
      noting.add(key);
      change(key, (newest) => newest && withUse(newest, id, at))
        .catch((error: unknown) => log.warn({ err: error, token: id }, 'the use of a token was not noted'))
        .finally(() => noting.delete(key));
    },
    async close() {
      stop.abort(new Error('closed'));
      publisher.close();
      await following;
    },
  };
}

const cannotBeRead =
  'cannot be read: it was written by a newer version of Gantry, which this coordinator must become';

const keyOf = (name: string): string =>
  `user.${base32Of(createHash('sha256').update(name.toLowerCase()).digest())}`;
