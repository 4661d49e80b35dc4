/** Stages that do nothing, through a real coordinator, storage and NATS, on agents that are simulated. */
import { fork, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { resolveConnection } from '../../coordinator/cli/connection.js';
import type { RunView__Output } from '../../shared/wire/gen/gantry/v1/RunView.js';
import { inParallel } from './baseline.js';
import { cpuBetween, cpuTimes, type CpuTimes } from './cpu.js';
import { startFleet, type Fleet } from './fleet.js';
import { times, type Report } from './measure.js';
import { bareMessages, connectBare, lastEntry, readEntries } from './nats-baseline.js';
import type { AgentsNews, AgentsOrder } from './simulated-agents.js';

const agents = 100;
const slots = 10;
/** Of the simulated agents alone: the one that `gantry up` starts takes none of these stages. */
const label = 'simulated';
const submitsAtOnce = 4;
const patienceMs = 90_000;

export async function measureScheduling(options: {
  readonly runs: number;
  readonly stagesPerRun: number;
  readonly report: Report;
}): Promise<void> {
  const { runs, stagesPerRun, report } = options;
  const count = runs * stagesPerRun;
  const fleet = await startFleet(['--agents', '1', '--slots', '1', '--executor', 'host']);
  try {
    const simulated = await simulateAgents(fleet);
    const link = await connectBare(fleet.up);
    try {
      await allRuns({ fleet, simulated, runs: 2, stagesPerRun }); // Warms what a first run has to load.
      const before = {
        cpu: await cpuOf(fleet, simulated),
        entry: await lastEntry(link),
        ...simulated.last(),
      };
      const { sent, sentAt } = await allRuns({ fleet, simulated, runs, stagesPerRun });
      const after = { cpu: await cpuOf(fleet, simulated), entry: await lastEntry(link), ...simulated.last() };
      const views: RunView__Output[] = [];
      for (const run of sent) views.push(await ended(fleet, run));
      views.forEach((view) => check(view, stagesPerRun));
      const endedAt = Math.max(...views.map(({ finishedAt }) => Date.parse(finishedAt ?? '')));
      const entries = await readEntries(link, { after: before.entry, last: after.entry });
      const heartbeats = after.heartbeats - before.heartbeats;
      const bareMs = await bareMessages({
        up: fleet.up,
        entries,
        assignments: { count, bytes: after.assignmentBytes, atOnce: agents * slots },
        heartbeats,
      });
      const ours = count / ((endedAt - sentAt) / 1000);
      const bare = count / (bareMs / 1000);
      report.add({
        what: `scheduling: stages a second, submitted → ended, ${agents} simulated agents of ${slots} slots (${runs} runs of ${stagesPerRun} stages, each one attempt)`,
        measured: `${ours.toFixed(0)} /s`,
        baseline: `the same messages over bare NATS ${bare.toFixed(0)} /s`,
        ratio: `${times(ours / bare)} its rate`,
        target: '≥ 2,000 /s on 2 cores',
      });
      const row = (what: string, measured: string): void =>
        report.add({ what, measured, baseline: '', ratio: '', target: '' });
      row('… CPU time of each daemon for one of these stages', cpuBetween(before.cpu, after.cpu, count));
      row('… for one of these stages in the journal and from agents', perStage(entries, heartbeats, count));
    } finally {
      await link.close();
      await simulated.stop();
    }
  } finally {
    await fleet.stop();
  }
}

function perStage(entries: readonly Buffer[], heartbeats: number, stages: number): string {
  let events = 0;
  let bytes = 0;
  for (const entry of entries) {
    events += (JSON.parse(entry.toString()) as { events: unknown[] }).events.length;
    bytes += entry.length;
  }
  const each = (sum: number): string => (sum / stages).toFixed(2);
  return `${each(events)} events in ${each(entries.length)} entries, ${each(bytes)} bytes; ${each(heartbeats)} heartbeats`;
}

/** Each stage once, and well. */
function check(view: RunView__Output, stagesPerRun: number): void {
  const stages = view.stages ?? [];
  const isRight =
    view.status === 'succeeded' &&
    stages.length === stagesPerRun &&
    stages.every(
      ({ status, attempts = [] }) =>
        status === 'succeeded' && attempts.length === 1 && attempts[0]?.status === 'succeeded',
    );
  if (!isRight) throw new Error(`run ${view.run} did not end as it should: ${JSON.stringify(view)}`);
}

/** Resolves when all stages have ended. `sentAt`: of the first submit, wall clock, which is the coordinator's too. */
async function allRuns(options: {
  readonly fleet: Fleet;
  readonly simulated: Simulated;
  readonly runs: number;
  readonly stagesPerRun: number;
}): Promise<{ readonly sent: readonly string[]; readonly sentAt: number }> {
  const { fleet, simulated, runs, stagesPerRun } = options;
  const stage = `{ agents: [${label}], steps: ['true'] }`;
  const pipeline = `stages:\n${Array.from({ length: stagesPerRun }, (_, n) => `  s${n}: ${stage}\n`).join('')}`;
  const until = simulated.last().count + runs * stagesPerRun;
  const sent: string[] = [];
  const sentAt = Date.now();
  await inParallel(runs, submitsAtOnce, async () => sent.push((await fleet.submit(pipeline)).run));
  await simulated.untilEnded(until);
  return { sent, sentAt };
}

/** All stages of the run have: what is left is a turn of the coordinator's loop. */
async function ended(fleet: Fleet, run: string): Promise<RunView__Output> {
  for (let tries = 0; ; tries += 1) {
    const view = await fleet.api.show({ run });
    if ((view.finishedAt ?? '') !== '' || tries > 100) return view;
    await pause(50);
  }
}

type Ended = Omit<Extract<AgentsNews, { kind: 'ended' }>, 'kind'>;

interface Simulated {
  readonly pid: number;
  last(): Ended;
  /** Resolves when so many attempts have ended since the beginning. */
  untilEnded(count: number): Promise<void>;
  stop(): Promise<void>;
}

async function cpuOf(fleet: Fleet, { pid }: Simulated): Promise<CpuTimes> {
  const daemons = await fleet.up.daemons();
  return cpuTimes([...daemons, { name: 'simulated agents', pid }]);
}

async function simulateAgents({ up, api }: Fleet): Promise<Simulated> {
  const { tls } = resolveConnection({}, up.env);
  const { token: joinToken = '' } = await api.createJoinToken({
    labels: [label],
    projects: [],
    validSeconds: 3_600,
  });
  const ca = tls?.ca;
  const order: AgentsOrder = {
    ...{ address: up.grpc, joinToken, label, agents, slots },
    ...(ca === undefined ? {} : { ca }),
  };
  const child = fork(join(import.meta.dirname, 'simulated-agents.js'));
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  let last: Ended = { count: 0, heartbeats: 0, assignmentBytes: 0 };
  child.on('message', (news: AgentsNews) => {
    if (news.kind === 'ended') last = news;
  });
  child.send(order);
  const stop = async (): Promise<void> => {
    if (child.connected) child.disconnect();
    await gone;
  };
  try {
    await heard(child, ({ kind }) => kind === 'ready');
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    pid: child.pid ?? 0,
    last: () => last,
    untilEnded: async (count) => {
      if (last.count < count) await heard(child, (news) => news.kind === 'ended' && news.count >= count);
    },
    stop,
  };
}

/** Resolves with the first news that are wanted; rejects when the agents are in trouble or gone, or say nothing for too long. */
function heard(child: ChildProcess, isWanted: (news: AgentsNews) => boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    const over = (error?: Error): void => {
      clearTimeout(late);
      child.off('message', onNews);
      child.off('exit', onExit);
      if (error === undefined) resolve();
      else reject(error);
    };
    const onNews = (news: AgentsNews): void => {
      if (news.kind === 'trouble') over(new Error(`the simulated agents: ${news.message}`));
      else if (isWanted(news)) over();
    };
    const onExit = (code: number | null): void => over(new Error(`the simulated agents ended with ${code}`));
    const late = setTimeout(() => over(new Error('the simulated agents were not done in time')), patienceMs);
    child.on('message', onNews);
    child.on('exit', onExit);
  });
}
