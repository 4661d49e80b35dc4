/**
 * What scheduling costs without us: the messages that the journal and the agents were sent over NATS, sent again between
 * bare connections to the same server, and nothing done about them.
 */
import { connectNats, type NatsLink } from '../../shared/nats/nats-connection.js';
import { createPublisher } from '../../shared/nats/nats-publisher.js';
import { readStream } from '../../shared/nats/nats-stream-reader.js';
import { defaultPrefix, natsNames } from '../../shared/nats/names.js';
import { createLog } from '../../shared/log.js';
import { loadNatsKeys } from '../../coordinator/fleet/nats-credentials.js';
import type { Up } from '../support/installation.js';
import { inParallel } from './baseline.js';
import { timed } from './measure.js';

const names = natsNames(defaultPrefix);
const stream = 'BENCH';
const subject = 'bench.journal';
const assignSubject = 'bench.assign';
const heartbeatSubject = 'bench.heartbeat';
const log = createLog({ name: 'bench', level: 'warn', pretty: false });

/** As the coordinator is connected, with all of its rights. */
export async function connectBare(up: Up): Promise<NatsLink> {
  const { creds } = await loadNatsKeys(up.data);
  return connectNats({ servers: [up.nats], auth: { kind: 'creds', text: creds }, name: 'bench', log });
}

export async function lastEntry({ nc }: NatsLink): Promise<number> {
  const manager = await nc.jetstreamManager({ checkAPI: false });
  return (await manager.streams.info(names.journalStream)).state.last_seq;
}

/** The journal's entries after one sequence up to another, as they are stored. */
export async function readEntries(
  link: NatsLink,
  range: { readonly after: number; readonly last: number },
): Promise<readonly Buffer[]> {
  const entries: Buffer[] = [];
  const batches = readStream({
    link,
    stream: names.journalStream,
    from: range.after + 1,
    until: range.last,
    window: 1_000,
    signal: new AbortController().signal,
  });
  for await (const batch of batches) for (const { data } of batch) entries.push(Buffer.from(data));
  return entries;
}

/**
 * How long the same takes without deciding anything, ms: the entries, appended with one in flight and fenced, while as many
 * requests as there were assignments are answered and as many heartbeats are heard.
 */
export async function bareMessages(options: {
  readonly up: Up;
  readonly entries: readonly Buffer[];
  readonly assignments: { readonly count: number; readonly bytes: number; readonly atOnce: number };
  readonly heartbeats: number;
}): Promise<number> {
  const { up, entries, assignments, heartbeats } = options;
  const [leader, agents] = await Promise.all([connectBare(up), connectBare(up)]);
  const publisher = createPublisher({ link: leader, timeoutMs: 5_000 });
  try {
    const manager = await leader.nc.jetstreamManager({ checkAPI: false });
    await manager.streams.add({ name: stream, subjects: [subject] });
    agents.nc.subscribe(assignSubject, {
      callback: (_error, message) => message.respond('{"kind":"accepted","heartbeat":1000}'),
    });
    leader.nc.subscribe(heartbeatSubject, { callback: () => undefined });
    await Promise.all([agents.nc.flush(), leader.nc.flush()]);
    const assignment = 'x'.repeat(assignments.bytes);
    const heartbeat = 'x'.repeat(200);
    let beats = 0;
    return await timed(() =>
      Promise.all([
        append(publisher, entries),
        inParallel(assignments.count, assignments.atOnce, async () => {
          if (beats < heartbeats) agents.nc.publish(heartbeatSubject, heartbeat);
          beats += 1;
          await leader.nc.request(assignSubject, assignment, { timeout: 5_000 });
        }),
      ]),
    );
  } finally {
    publisher.close();
    await Promise.all([leader.close(), agents.close()]);
  }
}

async function append(
  publisher: ReturnType<typeof createPublisher>,
  entries: readonly Buffer[],
): Promise<void> {
  let last = 0;
  for (const entry of entries) {
    const outcome = await publisher.publish(subject, entry, { 'Nats-Expected-Last-Sequence': String(last) });
    if (outcome.kind !== 'stored')
      throw new Error(`the baseline's append was not stored: ${outcome.message}`);
    last = outcome.sequence;
  }
}
