import { expect, test } from 'vitest';
import { agentView } from '../../../coordinator/scheduler/views.js';
import { Core, agentId, outline, projectId } from './core.js';

test('Only an agent that offers all labels, serves the project and takes the trust gets a stage', () => {
  const core = new Core();
  core.join(1, { labels: ['os=linux'] });
  core.join(2, { labels: ['gpu', 'os=linux'], projects: [projectId(7)] });
  core.join(3, { labels: ['gpu', 'os=linux'], trust: ['fork'] });
  const run = core.submit(1, [outline(1, { labels: ['gpu', 'os=linux'] })]);
  expect(core.stage(run).phase.kind).toBe('waiting');
  expect(core.reasons(run)[0]).toMatch(/takes runs of trust submit \(agent3 take others\)/);
  core.join(4, { labels: ['gpu', 'os=linux', 'x'] });
  expect(core.attempt(run).agent).toBe(agentId(4));
  const seventh = core.submit(2, [outline(1, { labels: ['gpu', 'os=linux'] })], { project: projectId(7) });
  expect(core.attempt(seventh).agent).toBe(agentId(2));
});

test('Waiting stages follow when agents begin and cease to serve chosen projects', () => {
  const core = new Core();
  const busy = core.join(1);
  core.submit(1, [outline(1)]);
  const mine = core.submit(2, [outline(1), outline(2)], { project: projectId(7) });
  core.submit(3, [outline(1)], { project: projectId(8) });
  core.join(2, { projects: [projectId(7)] });
  expect(core.attempt(mine, 1).agent).toBe(agentId(2));
  core.join(2, { projects: [projectId(9)], labels: ['os=linux', 'x'] });
  core.finish(core.attempt(mine, 1));
  expect(core.stage(mine, 2).phase.kind).toBe('waiting');
  core.beat(busy);
  core.finish(core.attempt(core.submit(1, [])));
  expect(core.attempt(mine, 2).agent).toBe(busy);
  core.finish(core.attempt(mine, 2));
  expect(core.attempt(core.submit(3, [])).agent).toBe(busy);
});

test('Slots are never exceeded, and what an agent holds besides its leases fills them too', () => {
  const core = new Core();
  const agent = core.join(1, { slots: 2 });
  const run = core.submit(
    1,
    [1, 2, 3, 4].map((number) => outline(number)),
  );
  const leased = () => core.state.agents.get(agent)!.leases.size;
  expect(leased()).toBe(2);
  expect(core.reasons(run, 4)).toEqual(['the suitable agent agent1 is busy: place 2 of 2 by age']);
  core.finish(core.attempt(run, 1));
  expect(leased()).toBe(2);
  core.pass(16_000);
  expect(leased()).toBe(0);
  const lost = [2, 3].map((number) => core.attempt(run, number));
  const held = lost.map((attempt) => ({
    run,
    stage: attempt.stage.outline.number,
    attempt: 1,
    token: attempt.token,
  }));
  core.pass(4_000);
  core.beat(agent, { held: held.slice(0, 1) });
  expect(leased()).toBe(1);
  core.beat(agent, { held: [] });
  expect(leased()).toBe(2);
});

test('Projects share agents equally, whoever asked first; within a project the older stage goes first', () => {
  const core = new Core();
  const agent = core.join(1, { slots: 4 });
  const greedy = Array.from({ length: 20 }, (_, index) => outline(index + 1));
  core.beat(agent, { refusing: 'not yet' });
  core.submit(1, greedy);
  core.submit(2, [outline(1), outline(2)], { project: projectId(2) });
  core.submit(3, [outline(1)], { project: projectId(2) });
  core.beat(agent);
  const leases = () =>
    [...core.state.agents.get(agent)!.leases].map(
      ({ stage }) => `${stage.run.order}/${stage.outline.number}`,
    );
  expect(leases()).toEqual(['1/1', '2/1', '1/2', '2/2']);
  core.finish(core.attempt(core.submit(1, []), 1));
  core.finish(core.attempt(core.submit(1, []), 2));
  expect(leases()).toEqual(['2/1', '2/2', '1/3', '1/4']);
  core.finish(core.attempt(core.submit(2, []), 1));
  expect(leases()).toEqual(['2/2', '1/3', '1/4', '3/1']);
});

test('The least loaded agent is chosen, a warm one before it unless it has taken half of its slots more', () => {
  const core = new Core();
  for (const n of [1, 2, 3]) core.join(n, { slots: 4 });
  const project = projectId(1);
  const chosen = (n: number) => {
    core.submit(n, [outline(1)]);
    return core.attempt(core.submit(n, [])).agent;
  };
  expect(new Set([chosen(1), chosen(2), chosen(3)]).size).toBe(3);
  core.beat(agentId(2), { mirrors: [project] });
  expect([chosen(4), chosen(5), chosen(6)]).toEqual([agentId(2), agentId(2), agentId(2)]);
  core.finish(core.attempt(core.submit(1, [])));
  expect([chosen(7), chosen(8)]).not.toContain(agentId(2));
});

test('Where a stage failed for our fault it is not tried again while another agent is free', () => {
  const core = new Core();
  core.join(1, { slots: 4 });
  const run = core.submit(1, [outline(1)]);
  core.join(2, { slots: 4 });
  core.finish(core.attempt(run), {
    status: 'failed',
    failure: { kind: 'disk-full', agent: 'agent1', message: '' },
  });
  core.submit(2, [outline(1), outline(2)]);
  core.beat(agentId(2), { load: 9 });
  core.passWith(4_000, { agent: agentId(1) }, { agent: agentId(2), more: { load: 9 } });
  expect(core.attempt(run)).toMatchObject({ number: 2, agent: agentId(2) });
});

test('Reasons name the label that is missing and what agents offer', () => {
  const core = new Core();
  const run = core.submit(1, [outline(1, { labels: ['arch=arm64', 'os=linux'] })]);
  expect(core.reasons(run)[0]).toMatch(/^there is no agent: start one with `gantry-agent --coordinator/);
  core.join(1, { labels: ['arch=amd64', 'os=linux'] });
  expect(core.reasons(run)).toEqual(['no agent offers arch=arm64 (agents offer arch=amd64, os=linux)']);
  core.join(2, { labels: ['arch=arm64', 'os=macos'] });
  expect(core.reasons(run)).toEqual([
    'no agent offers arch=arm64, os=linux together: agent1 lacks arch=arm64',
  ]);
  const other = core.submit(2, [outline(1, { labels: ['os=macos'] })], { project: projectId(5) });
  expect(core.stage(other).phase.kind).toBe('leased');
});

test('Reasons name every suitable agent that is not just busy', () => {
  const core = new Core();
  for (const n of [1, 2, 3]) core.join(n);
  core.submit(1, [outline(1)]);
  core.beat(core.attempt(core.submit(1, [])).agent);
  const [busy, ...rest] = [1, 2, 3]
    .map(agentId)
    .toSorted((a, b) => core.state.agents.get(b)!.leases.size - core.state.agents.get(a)!.leases.size);
  core.beat(rest[0]!, { refusing: 'less than 5 GiB free' });
  core.turn({ kind: 'DrainAgent', agent: rest[1]!, draining: true, by: 'ada' });
  const run = core.submit(2, [outline(1)]);
  const name = (agent: string) => core.state.agents.get(agent as never)!.name;
  expect(core.reasons(run)).toEqual([
    `the suitable agent ${name(busy!)} is busy: place 1 of 1 by age`,
    `agent ${name(rest[0]!)} takes no stage now: less than 5 GiB free`,
    `agent ${name(rest[1]!)} is draining: it is drained and takes no new stage`,
  ]);
  const view = (agent: string) =>
    agentView(core.state, core.presence, core.state.agents.get(agent as never)!, core.now);
  expect(view(busy!)).toMatchObject({ status: 'busy', running: ['aaaaaaaa stage1'] });
  expect(view(rest[0]!)).toMatchObject({ status: 'refusing', reason: 'less than 5 GiB free' });
  expect(view(rest[1]!).status).toBe('draining');
});

test('More than fits into one entry is leased in several turns', () => {
  const core = new Core();
  const agent = core.join(1, { slots: 5_000 });
  core.beat(agent, { refusing: 'not yet' });
  core.submit(
    1,
    Array.from({ length: 3_000 }, (_, index) => outline(index + 1)),
  );
  core.beat(agent);
  expect(core.state.agents.get(agent)!.leases.size).toBe(3_000);
});
