import { expect, test } from 'vitest';
import { restartTimers } from '../../../coordinator/scheduler/presence.js';
import { Core, agentId, kinds, outline, refOf } from './core.js';

const minute = 60_000;

function withLease(): { core: Core; run: ReturnType<Core['submit']>; agent: ReturnType<typeof agentId> } {
  const core = new Core();
  const agent = core.join(1);
  const run = core.submit(1, [outline(1, { timeoutMs: 60 * minute })]);
  core.answer(core.attempt(run), { kind: 'accepted', heartbeat: 1 });
  core.start(core.attempt(run));
  return { core, run, agent };
}

test('An agent without a heartbeat for 15 s is lost, and its stage waits for another one', () => {
  const { core, run } = withLease();
  expect(core.pass(14_900).events).toEqual([]);
  expect(kinds(core.pass(200).events)).toEqual(['AttemptLost']);
  expect(core.stage(run).attempts[0]?.phase).toMatchObject({
    kind: 'lost',
    failure: { kind: 'agent-lost', agent: 'agent1', message: 'no heartbeat for 15 s' },
  });
  core.pass(2_000);
  expect(core.reasons(run)).toEqual(['agent agent1 is offline: no heartbeat for 17 s']);
});

test('Reports are signs of life too', () => {
  const { core, run } = withLease();
  core.pass(14_000);
  core.report(core.attempt(run), { kind: 'StepStarted', step: 1, shell: 'sh' });
  expect(core.pass(14_000).events).toEqual([]);
});

test('After the third lost agent the stage fails, and it is our failure', () => {
  const core = new Core();
  const run = core.submit(1, [outline(1)]);
  for (const n of [1, 2, 3]) {
    core.join(n);
    core.passWith(6_000, { agent: agentId(n) });
    expect(core.attempt(run).number).toBe(n);
    core.pass(16_000);
  }
  expect(core.view(run)).toMatchObject({ status: 'failed', stages: [{ failure: { kind: 'agent-lost' } }] });
});

test('One that went away on purpose is lost only after ten minutes, and gets nothing meanwhile', () => {
  const { core, run, agent } = withLease();
  core.beat(agent, { away: true });
  const other = core.submit(2, [outline(1)]);
  expect(core.pass(9 * minute).events).toEqual([]);
  expect(core.reasons(other)[0]).toMatch(/away/);
  expect(kinds(core.pass(2 * minute).events)).toEqual(['AttemptLost']);
  expect(core.stage(run).phase.kind).toBe('waiting');
});

test('An agent whose link is down works on for five minutes and gets nothing new', () => {
  const { core, agent } = withLease();
  const events = core.passWith(4 * minute, { agent, more: { linked: false } });
  expect(events).toEqual([]);
  expect(core.reasons(core.stage(core.submit(1, [])).run.run)[0]).toMatch(/link of agent agent1 .* down for/);
  core.beat(agent);
  expect(core.passWith(4 * minute, { agent, more: { linked: false } })).toEqual([]);
  expect(kinds(core.passWith(2 * minute, { agent, more: { linked: false } }))).toContain('AttemptLost');
});

test('An attempt missing from two heartbeats after it was accepted is lost', () => {
  const { core, run, agent } = withLease();
  expect(core.beat(agent, { held: [] }).events).toEqual([]);
  core.beat(agent);
  expect(core.beat(agent, { held: [] }).events).toEqual([]);
  expect(kinds(core.beat(agent, { held: [] }).events)).toEqual(['AttemptLost']);
  expect(core.stage(run).phase.kind).toBe('waiting');
});

test('What proved an attempt lost does not count again once a report has revived it', () => {
  const { core, run, agent } = withLease();
  core.beat(agent, { held: [] });
  core.beat(agent, { held: [] });
  expect(core.stage(run).phase.kind).toBe('waiting');
  core.report(core.attempt(run), { kind: 'StepStarted', step: 1, shell: 'sh' });
  expect(core.pass(4_000).events).toEqual([]);
  expect(core.stage(run).phase.kind).toBe('leased');
});

test('A heartbeat that arrives after a later one says nothing', () => {
  const core = new Core();
  const agent = core.join(1);
  const late = core.heartbeat(agent, { refusing: 'disk' });
  core.beat(agent);
  core.turn({ kind: 'HeartbeatSeen', heartbeat: late });
  expect(core.stage(core.submit(1, [outline(1)])).phase.kind).toBe('leased');
});

test('Heartbeats from before the acceptance say nothing about the attempt', () => {
  const core = new Core();
  const agent = core.join(1);
  const run = core.submit(1, [outline(1)]);
  const early = [1, 2, 3].map(() => core.heartbeat(agent, { held: [] }));
  core.answer(core.attempt(run), { kind: 'accepted', heartbeat: 4 });
  for (const heartbeat of early) core.turn({ kind: 'HeartbeatSeen', heartbeat });
  expect(core.stage(run).phase.kind).toBe('leased');
});

test('A restarted agent that adopted nothing loses its attempts after two heartbeats', () => {
  const { core, run, agent } = withLease();
  core.passWith(20_000, { agent });
  core.register(1);
  core.beat(agent, { held: [] });
  expect(core.stage(run).phase.kind).toBe('leased');
  core.beat(agent, { held: [] });
  expect(core.stage(run).phase.kind).toBe('waiting');
});

test('Nothing is leased to an agent that this leader has not heard', () => {
  const core = new Core();
  const agent = core.join(1);
  core.restart();
  const run = core.submit(1, [outline(1)]);
  expect(core.reasons(run)).toEqual([
    'agent agent1 is offline: no heartbeat of it since the coordinator began to lead',
  ]);
  core.beat(agent);
  expect(core.stage(run).phase.kind).toBe('leased');
});

test('A new leader sends again what has not begun, and gives agents their time anew', () => {
  const core = new Core();
  const agent = core.join(1, { slots: 2 });
  const run = core.submit(1, [outline(1), outline(2)]);
  core.start(core.attempt(run, 1));
  core.pass(14_000);
  core.restart();
  const second = core.attempt(run, 2);
  expect(core.turn().effects).toEqual([{ kind: 'Assign', agent, ref: refOf(second), token: second.token }]);
  expect(core.pass(14_000).events).toEqual([]);
  expect(kinds(core.pass(2_000).events)).toEqual(['AttemptLost', 'AttemptLost']);
});

test('After a pause of the process agents have their time anew', () => {
  const { core } = withLease();
  core.monotonicMs += 3_600_000;
  core.wallMs += 3_600_000;
  restartTimers(core.presence, core.now);
  expect(core.turn().events).toEqual([]);
  expect(core.pass(14_000).events).toEqual([]);
  expect(kinds(core.pass(2_000).events)).toEqual(['AttemptLost']);
});

test('While anything is timed the next turn is at most a second away', () => {
  const { core } = withLease();
  core.turn();
  expect(core.wakeAtMs).toBeLessThanOrEqual(core.monotonicMs + 1_000);
});

test('An unanswered assignment is sent again until the agent is lost', () => {
  const core = new Core();
  core.join(1);
  const run = core.submit(1, [outline(1)]);
  const attempt = core.attempt(run);
  expect(core.answer(attempt, { kind: 'no-responder' }).effects).toEqual([]);
  expect(core.reasons(run)).toEqual(['agent agent1 is asked to take it and has not answered yet']);
  expect(core.pass(150).effects).toEqual([]);
  expect(core.pass(100).effects.map((effect) => effect.kind)).toEqual(['Assign']);
  for (let tries = 0; tries < 8; tries += 1) {
    core.answer(attempt, { kind: 'silent' });
    expect(core.pass(1_100).effects.map((effect) => effect.kind)).toEqual(['Assign']);
  }
  // Whoever performs the effect may be lost too.
  expect(core.pass(10_000).effects.map((effect) => effect.kind)).toEqual([]);
  expect(attempt.phase.kind).toBe('lost');
});

test('An assignment whose outcome never came is sent again, one that a heartbeat names is not', () => {
  const core = new Core();
  const agent = core.join(1);
  const run = core.submit(1, [outline(1)]);
  core.passWith(8_000, { agent, more: { held: [] } });
  const again = core.pass(3_000).effects;
  expect(again.map((effect) => effect.kind)).toEqual(['Assign']);
  core.beat(agent);
  expect(core.reasons(run)).toEqual(['agent agent1 has it, preparing']);
  core.passWith(8_000, { agent });
  expect(core.pass(10_000).effects).toEqual([]);
});

test('An agent that refused a stage is left alone for a moment, and the stage goes to another one', () => {
  const core = new Core();
  core.join(1);
  const run = core.submit(1, [outline(1)]);
  core.answer(core.attempt(run), { kind: 'refused', reason: 'disk' });
  expect(core.reasons(run)).toEqual(['agent agent1 refused it: disk; it is offered again in 1 s']);
  core.join(2);
  core.pass(300);
  expect(core.attempt(run).agent).toBe(agentId(2));
});

test('A stage that is always refused neither spins nor blocks what is behind it', () => {
  const core = new Core();
  const agent = core.join(1);
  const bad = core.submit(1, [outline(1)]);
  let offers = 0;
  let good = 0;
  for (let seconds = 0; seconds < 120; seconds += 1) {
    if (good === 0) core.submit(2, [outline(1)]);
    const { leases } = core.state.agents.get(agent)!;
    for (const lease of [...leases]) {
      if (lease.stage.run.run === bad) {
        offers += 1;
        core.answer(lease, { kind: 'refused', reason: 'not this one' });
      } else {
        good += 1;
        core.answer(lease, { kind: 'accepted', heartbeat: seconds });
        core.finish(lease);
      }
    }
    core.passWith(1_000, { agent, more: { held: [] } });
  }
  expect(good).toBe(1);
  expect(offers).toBeGreaterThan(3);
  expect(offers).toBeLessThan(15);
});

test('A stage that an agent never ends is ended by the backstop', () => {
  const { core, run, agent } = withLease();
  expect(core.passWith(85 * minute, { agent })).toEqual([]);
  const held = core.heartbeat(agent).held;
  const events = core.passWith(6 * minute, { agent, more: { held } });
  expect(kinds(events)).toEqual(['AttemptLost', 'StageEnded', 'RunEnded']);
  expect(core.view(run).stages[0]?.failure).toEqual({ kind: 'timed-out', limitMs: 60 * minute });
});

test('A stage that no agent takes for seven days fails as no-agent', () => {
  const core = new Core();
  const run = core.submit(1, [outline(1, { labels: ['gpu'] })]);
  const day = 24 * 60 * minute;
  core.wallMs += 6 * day;
  core.restart();
  core.submit(2, [outline(1, { labels: ['gpu'] })]);
  core.pass(2 * minute);
  expect(core.stage(run).phase.kind).toBe('waiting');
  core.wallMs += day;
  expect(kinds(core.pass(2 * minute).events)).toEqual(['StageEnded', 'RunEnded']);
  expect(core.view(run).stages[0]?.failure).toMatchObject({ kind: 'no-agent' });
  expect(core.view(core.submit(2, [])).status).toBe('waiting');
});

test('An agent unseen for a day is forgotten, with all that was known of it', () => {
  const core = new Core();
  const agent = core.join(1);
  core.beat(agent, { mirrors: ['p'] });
  expect(core.pass(23 * 60 * minute).events).toEqual([]);
  expect(kinds(core.pass(61 * minute).events)).toEqual(['AgentForgotten']);
  expect(core.state.agents.size + core.presence.agents.size + core.presence.mirrors.size).toBe(0);
  const run = core.submit(1, [outline(1)]);
  expect(core.reasons(run)[0]).toContain('gantry-agent --coordinator');
});
