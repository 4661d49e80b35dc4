/**
 * What the pure core costs: decisions with 10,000 agents and 1,000,000 waiting stages, and replay. No journal, no
 * network. Other sizes by two arguments: agents, waiting stages.
 * `npm run bench -- core` runs it; see the README of this folder.
 */
import { applyEntry } from '../../coordinator/scheduler/apply.js';
import type { Command, Now } from '../../coordinator/scheduler/command.js';
import { decide } from '../../coordinator/scheduler/decide.js';
import { handle } from '../../coordinator/scheduler/handle.js';
import { emptyPresence } from '../../coordinator/scheduler/presence.js';
import { emptyState, type AttemptState } from '../../coordinator/scheduler/state.js';
import type { Entry, Event, Report } from '../../shared/model/event.js';
import { agentId, instanceId, projectId, runId, sha, submission, outline } from '../unit/scheduler/ids.js';

const agents = Number(process.argv[2] ?? 10_000);
const waiting = Number(process.argv[3] ?? 1_000_000);
const stagesPerRun = 100;
const decisions = 20_000;

const state = emptyState();
let now: Now = { wallMs: 1_700_000_000_000, monotonicMs: 1_000 };
const presence = emptyPresence(now);
const entries: Entry[] = [];
let decideMs: number[] = [];

function turn(...commands: readonly Command[]): void {
  now = { wallMs: now.wallMs, monotonicMs: now.monotonicMs + 0.01 };
  const began = performance.now();
  const events: Event[] = commands.flatMap((command) => [...handle(state, presence, command, now).events]);
  for (;;) {
    const decision = decide(state, presence, now);
    events.push(...decision.events);
    if (decision.wakeAtMs === undefined || decision.wakeAtMs > now.monotonicMs) break;
  }
  decideMs.push(performance.now() - began);
  if (events.length > 0) entries.push({ v: 1, at: now.wallMs, epoch: 0, events });
}

const hosts = ['arch=amd64', 'arch=arm64'];
const beats = new Map<string, number>();

function beat(n: number): void {
  const agent = state.agents.get(agentId(n));
  if (agent === undefined) throw new Error('no agent');
  const number = (beats.get(agent.agent) ?? 0) + 1;
  beats.set(agent.agent, number);
  turn({
    kind: 'HeartbeatSeen',
    heartbeat: {
      agent: agent.agent,
      instance: agent.instance,
      number,
      slots: 1,
      linked: true,
      away: false,
      load: 1,
      mirrors: [projectId(n % 50)],
      held: [...agent.leases].map(({ stage, number: attempt, token }) => ({
        run: stage.run.run,
        stage: stage.outline.number,
        attempt,
        token,
      })),
      version: '1',
    },
  });
}

function report(attempt: AttemptState, what: Report): void {
  turn({
    kind: 'Report',
    agent: attempt.agent,
    ref: { run: attempt.stage.run.run, stage: attempt.stage.outline.number, attempt: attempt.number },
    token: attempt.token,
    n: attempt.reports + 1,
    at: now.wallMs,
    report: what,
  });
}

/** Time of this process alone, so that what else the machine does counts less; collection of garbage included. */
const cpuMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

function row(what: string, value: string): void {
  process.stdout.write(`${what.padEnd(64)} ${value}\n`);
}

function quantiles(what: string): void {
  const sorted = decideMs.toSorted((a, b) => a - b);
  const at = (q: number): string => `${(sorted[Math.floor(q * (sorted.length - 1))] ?? 0).toFixed(4)} ms`;
  row(what, `p50 ${at(0.5)}  p99 ${at(0.99)}  p99.9 ${at(0.999)}  max ${at(1)}`);
  decideMs = [];
}

for (let n = 0; n < agents; n += 1) {
  turn({
    kind: 'RegisterAgent',
    agent: agentId(n),
    instance: instanceId(n),
    name: `agent${n}`,
    labels: [hosts[n % 2] ?? '', `host=${n}`, 'os=linux'],
    slots: 1,
    projects: [],
    trust: ['submit'],
    keyHash: sha(n),
    version: '1',
    joinedBy: 'bench',
  });
}
quantiles(`register, ${agents} agents, each with a label of its own`);
for (let n = 0; n < agents; n += 1) beat(n);
quantiles('first heartbeats');
const accepted = cpuMs();
for (let n = 0; n < waiting / stagesPerRun; n += 1) {
  const stages = Array.from({ length: stagesPerRun }, (_, index) =>
    outline(index + 1, { labels: [hosts[index % 2] ?? '', 'os=linux'] }),
  );
  turn(submission(n, stages, { project: projectId(n % 50) }));
}
row(
  'stages accepted per CPU second (runs of 100)',
  Math.round(waiting / ((cpuMs() - accepted) / 1000)).toString(),
);
quantiles('submit of 100 stages');
globalThis.gc?.();
row('resident memory', `${Math.round(process.memoryUsage().rss / 2 ** 20)} MiB`);
row('waiting stages', state.waiting.size.toString());
for (let n = 0; n < Math.min(agents, decisions); n += 1) beat(n);
quantiles('heartbeat of a busy agent');
const began = cpuMs();
const all = [...state.agents.values()];
for (let n = 0; n < decisions; n += 1) {
  const [attempt] = all[n % agents]?.leases ?? [];
  if (attempt === undefined) throw new Error('the agent is idle');
  report(attempt, { kind: 'AttemptStarted', executor: 'docker' });
  report(attempt, { kind: 'AttemptFinished', status: 'succeeded', logs: [] });
}
const seconds = (cpuMs() - began) / 1000;
quantiles('report; every second one ends a stage and leases the next');
row('stages finished and leased per CPU second, one turn each', Math.round(decisions / seconds).toString());

const count = entries.reduce((sum, entry) => sum + entry.events.length, 0);
const stages = entries
  .flatMap((entry) => entry.events)
  .filter((event) => event.kind === 'RunAccepted').length;
const replayed = emptyState();
const before = cpuMs();
for (const entry of entries) applyEntry(replayed, entry);
const ms = cpuMs() - before;
row(`replay of ${count} events (${stages} of them runs of 100 stages)`, `${Math.round(ms)} ms`);
if (replayed.waiting.size !== state.waiting.size) throw new Error('the replay came to another state');

/** One stage per run, as most events of a real journal are: accepted, leased, started, two steps, finished, ended. */
const small: Entry[] = [];
for (let n = 0; n < 50_000; n += 1) {
  const name = { run: runId(n), stage: 1, attempt: 1, token: n + 1 } as const;
  const said = (report: Report, index: number): Event =>
    ({ kind: 'AttemptReported', ...name, n: index + 1, at: 1, report }) as unknown as Event;
  const events: Event[] = [
    { ...submission(n, [outline(1)]), kind: 'RunAccepted' },
    { kind: 'StageLeased', ...name, agent: agentId(n % 100) } as unknown as Event,
    ...(
      [
        { kind: 'AttemptStarted', executor: 'docker' },
        { kind: 'StepStarted', step: 1, shell: 'bash' },
        { kind: 'StepFinished', step: 1, exitCode: 0, durationMs: 1 },
        { kind: 'StepStarted', step: 2, shell: 'bash' },
        { kind: 'StepFinished', step: 2, exitCode: 0, durationMs: 1 },
        { kind: 'AttemptFinished', status: 'succeeded', logs: [] },
      ] satisfies Report[]
    ).map(said),
    { kind: 'StageEnded', run: name.run, stage: 1, status: 'succeeded' },
    { kind: 'RunEnded', run: name.run, status: 'succeeded' },
    { kind: 'RunRecorded', run: name.run },
  ];
  small.push({ v: 1, at: n, epoch: 0, events });
}
const text = small.map((entry) => JSON.stringify(entry));
const parsedAt = cpuMs();
const target = emptyState();
for (const line of text) applyEntry(target, JSON.parse(line) as Entry);
const total = small.reduce((sum, entry) => sum + entry.events.length, 0);
const took = (cpuMs() - parsedAt) / 1000;
row('replay with parsing, ordinary runs', `${Math.round(total / took)} events per CPU second`);
