import { expect, test } from 'vitest';
import { Core, agentId, kinds, outline, projectId, submission } from './core.js';

/** What `decide` looks at while one stage ends and the next one is leased. */
function looksPerLease(setting: { waiting: number; idle: number; projects: number }): number {
  const core = new Core();
  for (let n = 2; n < 2 + setting.idle; n += 1) core.join(n, { labels: ['gpu', `host=${n}`] });
  core.join(1, { labels: ['os=linux'] });
  for (let n = 0; n < setting.waiting; n += 100) {
    const stages = Array.from({ length: 100 }, (_, index) => outline(index + 1));
    core.turn(submission(n, stages, { project: projectId((n / 100) % setting.projects) }));
  }
  const [lease] = core.state.agents.get(agentId(1))!.leases;
  core.start(lease!);
  const before = core.presence.looks;
  core.finish(lease!);
  expect(core.state.agents.get(agentId(1))!.leases.size).toBe(1);
  return core.presence.looks - before;
}

test('A decision costs the same however many stages wait, agents are idle, and projects want something', () => {
  const few = looksPerLease({ waiting: 100, idle: 1, projects: 1 });
  expect(looksPerLease({ waiting: 20_000, idle: 1, projects: 1 })).toBe(few);
  expect(looksPerLease({ waiting: 100, idle: 500, projects: 1 })).toBe(few);
  expect(looksPerLease({ waiting: 10_000, idle: 1, projects: 100 })).toBe(few);
});

test('A heartbeat costs the same however many agents there are', () => {
  const looksPerBeat = (agents: number): number => {
    const core = new Core();
    for (let n = 1; n <= agents; n += 1) core.join(n);
    const before = core.presence.looks;
    core.beat(agentId(1));
    return core.presence.looks - before;
  };
  expect(looksPerBeat(300)).toBe(looksPerBeat(2));
});

test('A fresh leader works through a large state in bounded turns, and leases meanwhile', () => {
  const core = new Core();
  const agent = core.join(1);
  for (let n = 0; n < 300; n += 1) {
    core.submit(
      n,
      Array.from({ length: 100 }, (_, index) => outline(index + 1)),
    );
  }
  core.finish([...core.state.agents.get(agent)!.leases][0]!);
  core.restart();
  const turned = core.beat(agent);
  expect(kinds(turned.events)).toEqual([]);
  expect(core.presence.looks).toBeGreaterThanOrEqual(30_000);
  core.finish([...core.state.agents.get(agent)!.leases][0]!);
  expect(core.state.agents.get(agent)!.leases.size).toBe(1);
});
