/**
 * Finished runs in the stream RUNS, the last message of each run's subject. Lists are served from a copy in memory,
 * read at the start and kept up to date by following the stream: a read model, which the stream alone could not give in
 * order. It holds each row as its JSON, some 600 bytes a run.
 */
import { isDeepStrictEqual } from 'node:util';

import type { Logger } from '../../shared/log.js';
import { parseProjectId, parseRunId } from '../../shared/model/ids.js';
import { askAgain, errorCode, notFound } from '../../shared/nats/nats-ask.js';
import type { NatsLink } from '../../shared/nats/nats-connection.js';
import { createPublisher, isWrongLast } from '../../shared/nats/nats-publisher.js';
import { readStream, type StreamMessage } from '../../shared/nats/nats-stream-reader.js';
import type { NatsNames } from '../../shared/nats/names.js';
import { RunIndexConflict, type FinishedRun, type RunIndex } from './run-index.js';
import { createRunTable } from './run-table.js';

export interface NatsRunIndex extends RunIndex {
  close(): Promise<void>;
}

export async function natsRunIndex(options: {
  readonly link: NatsLink;
  readonly names: NatsNames;
  readonly log: Logger;
}): Promise<NatsRunIndex> {
  const { link, names, log } = options;
  const publisher = createPublisher({ link, timeoutMs: 5_000 });
  const table = createRunTable();
  const stop = new AbortController();
  const manager = await link.nc.jetstreamManager({ checkAPI: false });

  const take = (message: Pick<StreamMessage, 'sequence' | 'subject' | 'data'>): void => {
    const [project, run] = message.subject.slice(names.runsSubjects.length - 1).split('.');
    const projectId = parseProjectId(project ?? '');
    const runId = parseRunId(run ?? '');
    if (projectId === undefined || runId === undefined) return; // no subject of ours
    table.take({
      run: runId,
      project: projectId,
      sequence: message.sequence,
      json: Buffer.from(message.data),
    });
  };

  const { state } = await askAgain(link, () => manager.streams.info(names.runsStream));
  const read = (from: number, until: number | undefined): AsyncGenerator<readonly StreamMessage[]> =>
    readStream({
      link,
      stream: names.runsStream,
      from,
      ...(until === undefined ? {} : { until }),
      window: 2_000,
      signal: stop.signal,
    });
  if (state.messages > 0)
    for await (const batch of read(state.first_seq, state.last_seq))
      for (const message of batch) take(message);
  const follow = async (): Promise<void> => {
    for await (const batch of read(state.last_seq + 1, undefined)) for (const message of batch) take(message);
  };
  const following = follow().catch((error: unknown) => {
    if (!stop.signal.aborted)
      log.error({ err: error }, 'finished runs of other coordinators are not seen any more');
  });

  const fetch = async (subject: string): Promise<number> => {
    try {
      const ask = { last_by_subj: subject };
      const { seq, data } = await askAgain(link, () => manager.streams.getMessage(names.runsStream, ask));
      take({ subject, sequence: seq, data });
      return seq;
    } catch (error) {
      if (errorCode(error) === notFound.message) return 0;
      throw error;
    }
  };

  return {
    async put(run) {
      const subject = names.runsSubject(run.projectId, run.run);
      const json = Buffer.from(JSON.stringify(run));
      let expected = table.sequenceOf(run.run);
      for (let repeated = false; ; repeated = true) {
        const outcome = await publisher.publish(subject, json, {
          'Nats-Expected-Last-Subject-Sequence': String(expected),
        });
        if (outcome.kind === 'stored') {
          take({ subject, sequence: outcome.sequence, data: json });
          return;
        }
        if (outcome.kind === 'unknown' || !isWrongLast(outcome.code))
          throw new Error(`the record of run ${run.run} was not stored in RUNS: ${outcome.message}`);
        // A row is there that this coordinator had not seen: its own earlier put, or another coordinator's.
        expected = await fetch(subject);
        const stored = table.get(run.run);
        if (stored !== undefined && isDeepStrictEqual(stored, plain(run))) return;
        if (stored !== undefined || repeated)
          throw new RunIndexConflict(`RUNS holds another record of run ${run.run}; it is kept`);
      }
    },
    get: (run) => Promise.resolve(table.get(run)),
    find: (prefix, limit, filter) => Promise.resolve(table.find(prefix, limit, filter)),
    list: (query) => Promise.resolve(table.list(query)),
    async close() {
      stop.abort(new Error('closed'));
      publisher.close();
      await following;
    },
  };
}

/** As it looks after the way through JSON: fields that are undefined are gone. */
const plain = (run: FinishedRun): unknown => JSON.parse(JSON.stringify(run));
