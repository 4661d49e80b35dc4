/** Stages that deploy, through the real core: when they are leased, what ends them, and that nothing begins twice. */
import { beforeEach, describe, expect, it } from 'vitest';
import type { DeliveryAnswer, DeliveryCommand } from '../../../coordinator/delivery/command.js';
import type { Effect } from '../../../coordinator/scheduler/command.js';
import type { DeploymentRecord } from '../../../shared/model/deployment.js';
import { defaultEnvironmentSettings, type EnvironmentSettings } from '../../../shared/model/environment.js';
import type { Event } from '../../../shared/model/event.js';
import { parseCommitId, type CommitId, type RunId } from '../../../shared/model/ids.js';
import type { RunFacts } from '../../../shared/model/pipeline.js';
import { defaultProjectSettings } from '../../../shared/model/project.js';
import { Core, kinds, outline, projectId, runId } from './core.js';

const project = projectId(1);
const commitOf = (digit: string): CommitId => parseCommitId(digit.repeat(40))!;
const at = { project, environment: 'staging' };
const push = { event: 'push', trust: 'branch', branch: 'main' } as const;
const deploys = outline(1, { environment: 'staging' });

let core: Core;
beforeEach(() => {
  core = new Core();
  core.turn({
    kind: 'SetProject',
    project: {
      id: project,
      name: 'app',
      url: '/srv/app.git',
      settings: { ...defaultProjectSettings, defaultBranch: 'main' },
    },
    isNew: true,
    by: 'ada',
  });
  settings({});
});

function settings(changes: Partial<EnvironmentSettings>): void {
  tell({
    kind: 'SetEnvironment',
    ...at,
    settings: { ...defaultEnvironmentSettings, ...changes },
    by: 'ada',
  });
}

interface Told {
  readonly answer: DeliveryAnswer | undefined;
  readonly events: readonly Event[];
  readonly effects: readonly Effect[];
}

function tell(command: DeliveryCommand): Told {
  const { answers, events, effects } = core.turn({ kind: 'Delivery', command });
  const [answer] = answers;
  return { answer: answer?.kind === 'delivery' ? answer.answer : undefined, events, effects };
}

function request(n: number, changes: { readonly record?: Partial<DeploymentRecord> } = {}): Told {
  const record: DeploymentRecord = {
    commit: commitOf('1'),
    artifacts: [],
    images: [],
    steps: [],
    env: [],
    secrets: [],
    verifies: false,
    ...changes.record,
  };
  return tell({
    kind: 'RequestDeployment',
    ...at,
    run: runId(n),
    stage: 1,
    source: push,
    record,
    title: 'a change',
    by: 'ada',
  });
}

const leases = (): number => core.events.filter(({ kind }) => kind === 'StageLeased').length;
const begun = (): number => core.events.filter(({ kind }) => kind === 'DeployBegan').length;
const deploy = (n: number, changes: Partial<RunFacts> = {}): RunId =>
  core.submit(n, [deploys], { ...push, ...changes });

describe('a stage that deploys', () => {
  it('is leased once its deployment has the environment, and ends as its deployment does', () => {
    core.join(1);
    const run = runId(1);
    const { effects } = core.turn({
      kind: 'Submit',
      run,
      digest: 'd'.repeat(64) as never,
      facts: {
        ...push,
        project,
        projectName: 'app',
        commit: commitOf('1'),
        title: 't',
        by: 'ada',
        inputs: {},
      },
      stages: [deploys],
    });
    expect(effects).toContainEqual({ kind: 'DescribeDeployment', run, stage: 1 });
    expect(core.pass(60_000).effects).not.toContainEqual(
      expect.objectContaining({ kind: 'DescribeDeployment' }),
    );
    expect(leases()).toBe(0);
    core.beat(core.state.agents.keys().next().value!);
    const { events } = request(1);
    expect(kinds(events)).toEqual(['DeployRequested', 'DeployCleared', 'DeployLocked', 'StageLeased']);
    const started = core.turn({
      kind: 'Report',
      agent: core.attempt(run).agent,
      ref: { run, stage: 1, attempt: 1 },
      token: core.attempt(run).token,
      n: 1,
      at: 0,
      report: { kind: 'AttemptStarted', executor: 'docker' },
    });
    // Whoever reads the journal finds both or none.
    expect(kinds(started.events)).toEqual(['AttemptReported', 'DeployBegan']);
    core.report(core.attempt(run), { kind: 'StepStarted', step: 1, shell: 'sh' });
    core.finish(core.attempt(run));
    expect(core.view(run)).toMatchObject({ status: 'succeeded', stages: [{ status: 'succeeded' }] });
    core.restart();
    expect(core.turn().effects.some(({ kind }) => kind === 'DescribeDeployment')).toBe(false);
  });

  it('fails with the reason where its deployment cannot be described', () => {
    const run = deploy(1);
    core.turn({ kind: 'DeploymentImpossible', run, stage: 1, message: 'its artifact is gone' });
    expect(core.view(run).stages[0]).toMatchObject({
      status: 'failed',
      failure: { kind: 'not-deployed', message: 'its artifact is gone' },
    });
  });

  it('is described anew by a leader that has not asked yet', () => {
    const run = deploy(1);
    core.restart();
    expect(core.turn().effects).toContainEqual({ kind: 'DescribeDeployment', run, stage: 1 });
  });

  it('waits for approval without an agent, and says so', () => {
    settings({ approval: { by: [], notAuthor: false } });
    core.join(1);
    const run = deploy(1);
    request(1);
    expect(leases()).toBe(0);
    expect(core.reasons(run).join()).toContain('approv');
    const environment = [...core.state.deliveries.all.values()][0]!;
    const phase = environment.open[0]!.phase;
    if (phase.kind !== 'approval') throw new Error(phase.kind);
    tell({
      kind: 'Approve',
      ...at,
      deployment: 1,
      by: 'bob',
      binding: phase.binding,
      authors: { since: null, users: [] },
    });
    expect(core.stage(run).phase.kind).toBe('leased');
  });

  it('ends as canceled when it is canceled while it waits', () => {
    settings({ approval: { by: [], notAuthor: false } });
    const run = deploy(1);
    request(1);
    core.turn({ kind: 'Cancel', run, by: 'bob' });
    expect(core.view(run)).toMatchObject({
      status: 'canceled',
      stages: [{ failure: { kind: 'canceled', by: 'bob' } }],
    });
    expect([...core.state.deliveries.all.values()][0]!.open).toEqual([]);
  });

  it('of two, the second begins when the first has ended', () => {
    core.join(1, { slots: 2 });
    const [first, second] = [deploy(1), deploy(2)];
    request(1);
    core.start(core.attempt(first));
    const { effects } = request(2);
    const comparing = effects.flatMap((effect) =>
      effect.kind === 'Delivery' && effect.effect.kind === 'CompareCommits' ? [effect.effect] : [],
    );
    expect(comparing).toEqual([]);
    expect(core.stage(second).phase.kind).toBe('waiting');
    expect(core.reasons(second).join()).toContain('deployment 1');
    core.finish(core.attempt(first));
    expect(core.stage(second).phase.kind).toBe('leased');
  });

  it('is left to delivery where its attempt starts and ends in one turn', () => {
    settings({ verify: ['./smoke.sh'] });
    core.join(1);
    const run = deploy(1);
    request(1);
    const { agent, token } = core.attempt(run);
    const of = { kind: 'Report', agent, ref: { run, stage: 1, attempt: 1 }, token, at: 0 } as const;
    core.turn(
      { ...of, n: 1, report: { kind: 'AttemptStarted', executor: 'docker' } },
      { ...of, n: 2, report: { kind: 'AttemptFinished', status: 'succeeded', logs: [] } },
    );
    // Its verify has not answered.
    expect(core.view(run)).toMatchObject({ status: 'running', stages: [{ status: 'running' }] });
    expect(core.events.at(-1)).toMatchObject({ kind: 'DeployStepsEnded' });
  });

  it('has seven days to find an agent from when it may start, however long it waited for its environment', () => {
    const days = 24 * 60 * 60_000;
    settings({ approval: { by: [], notAuthor: false } });
    const run = deploy(1);
    request(1);
    const approval = () => {
      const { phase } = [...core.state.deliveries.all.values()][0]!.open[0]!;
      if (phase.kind !== 'approval') throw new Error(phase.kind);
      return phase.binding;
    };
    core.pass(5 * days);
    // Asked for again.
    settings({ approval: { by: ['bob'], notAuthor: false } });
    core.pass(5 * days);
    tell({
      kind: 'Approve',
      ...at,
      deployment: 1,
      by: 'bob',
      binding: approval(),
      authors: { since: null, users: [] },
    });
    core.pass(6 * days);
    expect(core.view(run).stages[0]).toMatchObject({ status: 'waiting' });
    core.pass(days + 60_000);
    expect(core.view(run).stages[0]).toMatchObject({ status: 'failed', failure: { kind: 'no-agent' } });
  });

  it('waits no seven days for its environment to be leased by an agent, but for as long as delivery says', () => {
    settings({ approval: { by: [], notAuthor: false } });
    const run = deploy(1);
    request(1);
    core.pass(7 * 24 * 60 * 60_000 + 60_000);
    expect(core.view(run).stages[0]).toMatchObject({ status: 'canceled' });
    expect(core.events.findLast(({ kind }) => kind === 'DeployEnded')).toMatchObject({
      end: { kind: 'expired' },
    });
  });
});

describe('a project', () => {
  it('is not removed while a deployment of it is under way: added anew, another one could begin beside it', () => {
    core.join(1);
    const run = deploy(1);
    request(1);
    core.start(core.attempt(run));
    const remove = { kind: 'RemoveProject', project, by: 'ada' } as const;
    expect(core.turn(remove).answers).toMatchObject([
      { kind: 'refused', message: expect.stringContaining('a deployment to staging is under way') as string },
    ]);
    core.finish(core.attempt(run));
    expect(core.turn(remove).answers).toEqual([{ kind: 'done' }]);
  });

  it('whose newer pushes cancel older ones lets a deployment go on that has its environment', () => {
    const own = { ...defaultProjectSettings, defaultBranch: 'main', cancelSuperseded: true };
    const known = { id: project, name: 'app', url: '/srv/app.git', settings: own };
    core.turn({ kind: 'SetProject', project: known, isNew: false, by: 'ada' });
    core.join(1);
    const run = deploy(1);
    request(1);
    core.start(core.attempt(run));
    const waiting = deploy(2);
    request(2);
    deploy(3);
    const canceled = core.events.flatMap((event) => (event.kind === 'CancelRequested' ? [event.run] : []));
    expect(canceled).toEqual([waiting]);
  });
});

describe('an agent that is lost', () => {
  it('before its attempt began: another attempt is leased', () => {
    core.join(1);
    const run = deploy(1);
    request(1);
    expect(leases()).toBe(1);
    core.pass(20_000);
    core.join(2);
    core.passWith(10_000, { agent: core.attempt(run).agent });
    core.pass(5_000);
    core.beat(core.join(3));
    core.pass(5_000);
    expect(leases()).toBeGreaterThan(1);
    expect(begun()).toBe(0);
  });

  it('after it: nothing is leased again, the run goes on, and a person settles it', () => {
    const agent = core.join(1);
    const run = deploy(1);
    request(1);
    const attempt = core.attempt(run);
    core.start(attempt);
    core.report(attempt, { kind: 'StepStarted', step: 1, shell: 'sh' });
    core.pass(20_000);
    expect(attempt.phase.kind).toBe('lost');
    const other = core.join(2);
    core.passWith(120_000, { agent: other });
    core.restart();
    core.beat(other);
    core.passWith(120_000, { agent: other });
    expect(leases()).toBe(1);
    expect(core.view(run).status).toBe('running');
    expect(core.reasons(run).join()).toContain('settle');
    tell({ kind: 'Settle', ...at, deployment: 1, outcome: 'good', by: 'bob' });
    expect(core.view(run).status).toBe('succeeded');
    // Its word comes late: it is noted, and changes nothing.
    const late = core.turn({
      kind: 'Report',
      agent,
      ref: { run, stage: 1, attempt: 1 },
      token: attempt.token,
      n: 3,
      at: 0,
      report: { kind: 'AttemptFinished', status: 'failed', logs: [] },
    });
    expect(late.answers).toMatchObject([{ kind: 'overtaken' }]);
    expect(kinds(late.events)).toContain('DeployEndedLate');
    expect(core.view(run).status).toBe('succeeded');
  });

  it('and comes back: it goes on, and its end counts', () => {
    const agent = core.join(1);
    const run = deploy(1);
    request(1);
    const attempt = core.attempt(run);
    core.start(attempt);
    core.report(attempt, { kind: 'StepStarted', step: 1, shell: 'sh' });
    core.pass(20_000);
    expect(core.events.some(({ kind }) => kind === 'DeployUnknown')).toBe(true);
    core.beat(agent, { held: [{ run, stage: 1, attempt: 1, token: attempt.token }] });
    core.finish(attempt);
    expect(core.view(run).status).toBe('succeeded');
    expect(begun()).toBe(1);
  });
});

describe('a deployment with a verify', () => {
  const verifying = (): { readonly run: RunId; readonly effects: readonly Effect[] } => {
    settings({ verify: ['./smoke.sh'] });
    core.join(1);
    const run = deploy(1);
    request(1);
    core.start(core.attempt(run));
    const { effects } = core.turn({
      kind: 'Report',
      agent: core.attempt(run).agent,
      ref: { run, stage: 1, attempt: 1 },
      token: core.attempt(run).token,
      n: 2,
      at: 0,
      report: { kind: 'AttemptFinished', status: 'succeeded', logs: [] },
    });
    return { run, effects };
  };
  const verifies = { environment: 'staging', deployment: 1, run: runId(1), verification: 1 };

  it.each([
    ['succeeded', 'succeeded', undefined],
    ['failed', 'failed', 'its verify failed'],
  ] as const)('whose run has %s is ended in the same turn', (status, expected, reason) => {
    const { run, effects } = verifying();
    const asked = effects.flatMap((effect) => (effect.kind === 'Delivery' ? [effect.effect] : []));
    expect(asked).toMatchObject([{ kind: 'Verify', deployment: 1, commands: ['./smoke.sh'] }]);
    expect(core.view(run).status).toBe('running');
    const [verify] = asked;
    const verification = verify?.kind === 'Verify' ? verify.verification : -1;
    const test = core.submit(2, [outline(1)], {
      ...push,
      event: 'manual',
      verifies: { ...verifies, verification },
    });
    core.beat(core.attempt(test).agent);
    core.start(core.attempt(test));
    core.finish(core.attempt(test), {
      status,
      ...(status === 'failed' ? { failure: { kind: 'exit-code', step: 1, exitCode: 1 } } : {}),
    });
    // Who is told is the environment's to say.
    expect(core.events.find((event) => event.kind === 'RunEnded' && event.run === test)).not.toHaveProperty(
      'news',
    );
    expect(core.view(run).status).toBe(expected);
    if (reason !== undefined) {
      const { failure } = core.view(run).stages[0]!;
      expect(failure).toMatchObject({
        kind: 'not-deployed',
        message: expect.stringContaining(reason) as string,
      });
    }
  });
});

describe('runs that deploy nothing', () => {
  it.each(['change', 'submit'] as const)('of kind %s, whatever their plan says', (event) => {
    core.join(1);
    const run = core.submit(1, [deploys], { ...push, event, trust: 'branch' });
    tell({
      kind: 'RequestDeployment',
      ...at,
      run,
      stage: 1,
      source: { event, trust: 'branch', branch: 'main' },
      record: {
        commit: commitOf('1'),
        artifacts: [],
        images: [],
        steps: [],
        env: [],
        secrets: [],
        verifies: false,
      },
      title: 't',
      by: 'ada',
    });
    expect(leases()).toBe(0);
    expect(core.view(run).stages[0]).toMatchObject({ status: 'failed', failure: { kind: 'not-deployed' } });
  });
});
