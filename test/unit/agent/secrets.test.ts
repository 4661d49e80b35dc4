/** A stage that names secrets: where the values go, and where they must never be. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { attemptKey } from '../../../shared/model/ids.js';
import { SessionRefused } from '../../../agent/session/session.js';
import {
  AgentWorld,
  assignmentOf,
  plannedArtifact,
  plannedStage,
  plannedStep,
  sha256Of,
} from '../../support/agent-world.js';
import { eventually } from '../../support/eventually.js';

const value = 'correct-horse-battery';
const stars = '*'.repeat(value.length);
const secrets = [{ variable: 'DEPLOY_TOKEN', secret: 'TOKEN' }];
const named = plannedStage({ secrets });

let world: AgentWorld;
beforeEach(async () => {
  world = await AgentWorld.make();
  world.coordinator.secrets = { values: new Map([['TOKEN', value]]) };
});
afterEach(() => world.dispose());

async function begin(plan = named) {
  const assignment = assignmentOf(plan);
  const agent = await world.start();
  await world.coordinator.session.assign(assignment);
  return { assignment, agent };
}

/** Everything below a directory, in one. */
async function contents(directory: string): Promise<string> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return (await Promise.all(files.map((file) => readFile(join(file.parentPath, file.name), 'latin1')))).join(
    '\n',
  );
}

describe('the values', () => {
  it('reach a step as variables, and are named to the executor as secret', async () => {
    const { assignment } = await begin();
    const step = await world.machine.step(1);
    expect(step.command.env['DEPLOY_TOKEN']).toBe(value);
    expect(step.command.secretVariables).toEqual(['DEPLOY_TOKEN']);
    step.exit(0);
    expect((await world.coordinator.end(assignment)).status).toBe('succeeded');
    expect(world.trace.only('secrets')).toEqual(['secrets']);
  });

  it('of an inner level win over env and secrets of an outer one', async () => {
    world.coordinator.secrets = {
      values: new Map([
        ['OUTER', 'outer-value'],
        ['INNER', 'inner-value'],
      ]),
    };
    const use = (variable: string, secret: string) => ({ variable, secret });
    await begin(
      plannedStage({
        env: { C: 'stage env' },
        secrets: ['A', 'B', 'D'].map((variable) => use(variable, 'OUTER')),
        steps: [plannedStep(1, { env: { B: 'step env' }, secrets: [use('C', 'INNER'), use('D', 'INNER')] })],
      }),
    );
    const { env } = (await world.machine.step(1)).command;
    expect(env).toMatchObject({ A: 'outer-value', B: 'step env', C: 'inner-value', D: 'inner-value' });
  });

  it('of a skipped step are not needed', async () => {
    world.coordinator.secrets = { values: new Map() };
    const { assignment } = await begin(
      plannedStage({ steps: [plannedStep(1), plannedStep(2, { skipped: true, secrets })] }),
    );
    (await world.machine.step(1)).exit(0);
    expect((await world.coordinator.end(assignment)).status).toBe('succeeded');
    expect(world.trace.only('secrets')).toEqual([]);
  });

  it('are in nothing that the agent writes down', async () => {
    await begin(plannedStage({ secrets, artifacts: [plannedArtifact(1)] }));
    const step = await world.machine.step(1);
    await step.print('quiet\n');
    expect(await contents(world.directory)).toContain('quiet');
    expect(await contents(world.directory)).not.toContain(value);
    // What a step itself writes into its workspace and its log is there until it is masked and archived.
    step.exit(0);
  });

  it('are not waited for while the coordinator is away longer than the stage may run', async () => {
    world.trace.before('secrets', () => new Promise(() => undefined));
    const { assignment } = await begin(plannedStage({ secrets, timeoutMs: 80 }));
    expect(await world.coordinator.end(assignment)).toMatchObject({ failure: { kind: 'timed-out' } });
  });
});

describe('a secret that is refused', () => {
  it('ends the attempt before its first step, with what to do', async () => {
    world.coordinator.secrets = { values: new Map(), refused: { secret: 'TOKEN', why: 'set it first' } };
    const { assignment } = await begin();
    expect(await world.coordinator.end(assignment)).toMatchObject({
      status: 'failed',
      failure: { kind: 'secret-unavailable', secret: 'TOKEN', message: 'set it first' },
      logs: [],
    });
    expect(world.coordinator.kinds(assignment)).not.toContain('StepStarted');
    await eventually('nothing is left', async () => {
      return world.machine.boxes.size === 0 && (await world.leftovers()).length === 0;
    });
  });

  it('because of how the agent is connected is one, too', async () => {
    world.trace.before('secrets', () => {
      throw new SessionRefused('over TLS only');
    });
    const { assignment } = await begin();
    expect(await world.coordinator.end(assignment)).toMatchObject({
      failure: { kind: 'secret-unavailable', secret: 'TOKEN', message: 'over TLS only' },
    });
  });
});

describe('what a step prints', () => {
  const long = `before ${value} between ${value.slice(0, 10)}`;

  it('leaves the agent masked, at equal length: live, archived, and as its digest says', async () => {
    const { assignment } = await begin();
    const step = await world.machine.step(1);
    await step.print(long);
    // The beginning of the second is held back, and nothing else.
    await eventually(
      'what is certain was sent',
      () => world.coordinator.log(assignment, 1).length === 7 + 21 + 9,
    );
    await step.print(`${value.slice(10)} after`);
    step.exit(0);
    const masked = `before ${stars} between ${stars} after`;
    const end = await world.coordinator.end(assignment);
    expect(end.logs).toEqual([{ step: 1, bytes: masked.length, sha256: sha256Of(masked) }]);
    expect(world.coordinator.log(assignment, 1)).toBe(masked);
    await eventually('the log is archived', () => world.stored.size > 0);
    for (const bytes of world.stored.values()) expect(bytes.toString('latin1')).not.toContain(value);
    expect([...world.stored.values()].map(String)).toContain(masked);
  });

  it('is masked in what is told besides the log', async () => {
    const { assignment } = await begin();
    const step = await world.machine.step(1);
    step.result.resolve({
      exit: { kind: 'failed', failure: { kind: 'internal', message: `it said ${value}` } },
      logBytes: 0,
      incomplete: `lost ${value}`,
      notes: [`note ${value}`],
    });
    const end = await world.coordinator.end(assignment);
    expect(JSON.stringify([end, world.coordinator.reports.get(attemptKey(assignment))])).not.toContain(value);
    expect(end.failure).toMatchObject({ message: `it said ${stars}` });
    expect(world.coordinator.session.progressed.join()).toContain(`note ${stars}`);
    expect(world.coordinator.session.progressed.join()).not.toContain(value);
  });
});

describe('an agent that is killed in the middle of a step', () => {
  it.each(['before the value', 'in the middle of the value', 'behind the value'])(
    'and comes back %s is acknowledged hides it all the same',
    async (where) => {
      const { assignment } = await begin();
      const step = await world.machine.step(1);
      const cut =
        { 'before the value': 3, 'in the middle of the value': 15, 'behind the value': 40 }[where] ?? 0;
      const text = `before ${value} after, and again ${value}\n`;
      await step.print(text.slice(0, cut));
      // As much as can be certain is acknowledged and written down.
      await eventually(
        'the first part was sent',
        () => world.coordinator.log(assignment, 1).length >= Math.min(cut, 7),
      );
      world.kill();
      await step.print(text.slice(cut));
      await world.start();
      step.exit(0);
      const masked = text.replaceAll(value, stars);
      const end = await world.coordinator.end(assignment);
      expect(world.coordinator.log(assignment, 1)).toBe(masked);
      expect(end.logs).toEqual([{ step: 1, bytes: masked.length, sha256: sha256Of(masked) }]);
      expect(world.trace.only('secrets')).toEqual(['secrets', 'secrets']);
    },
  );

  it('asks before it reads on, and waits for a coordinator that is away', async () => {
    const { assignment } = await begin();
    const step = await world.machine.step(1);
    world.kill();
    await step.print(`${value}\n`);
    const holding = world.trace.holdAt('secrets');
    const starting = world.start();
    const release = await holding;
    await starting;
    step.exit(0);
    expect(world.coordinator.log(assignment, 1)).toBe('');
    expect(world.trace.only('resumeStep 1')).toEqual([]);
    release();
    await world.coordinator.end(assignment);
    expect(world.coordinator.log(assignment, 1)).toBe(`${stars}\n`);
  });

  it('and gets the secret no more ends the step, and shows nothing of what it had not shown', async () => {
    const { assignment } = await begin();
    const step = await world.machine.step(1);
    world.kill();
    await step.print(`${value}\n`);
    world.coordinator.secrets = { values: new Map(), refused: { secret: 'TOKEN', why: 'it was removed' } };
    await world.start();
    expect(await world.coordinator.end(assignment)).toMatchObject({
      status: 'failed',
      failure: { kind: 'secret-unavailable' },
    });
    expect(world.coordinator.log(assignment, 1)).toBe('');
    await eventually('the box is gone', () => world.machine.boxes.size === 0);
    expect(world.coordinator.kinds(assignment)).toContain('StepFinished');
  });

  it('between the end and the archive asks again, and archives what was shipped', async () => {
    const holding = world.trace.holdAt('presign put-log');
    const { assignment } = await begin();
    const step = await world.machine.step(1);
    await step.print(`it is ${value}\n`);
    step.exit(0);
    await world.coordinator.end(assignment);
    await holding;
    world.kill();
    world.trace.forget('presign put-log');
    await world.start();
    await eventually('the log is archived', () =>
      world.coordinator.kinds(assignment).includes('LogsArchived'),
    );
    expect([...world.stored.values()].map(String)).toContain(`it is ${stars}\n`);
    expect([...world.stored.values()].join('')).not.toContain(value);
  });
});

describe('the credential of the checkout', () => {
  it('is asked for only when something is fetched, and goes to the fetch only', async () => {
    const credential = { kind: 'https', user: 'gantry', token: 'fetch-token-1' } as const;
    world.coordinator.secrets = { values: new Map(), checkout: credential };
    const asked: unknown[] = [];
    const tools = world.tools();
    const agent = world.start({
      tools: {
        ...tools,
        workspaces: {
          ...tools.workspaces,
          checkout: async ({ credential: get }) => {
            asked.push(await get());
          },
        },
      },
    });
    await agent;
    const assignment = assignmentOf(plannedStage());
    await world.coordinator.session.assign(assignment);
    const step = await world.machine.step(1);
    expect(asked).toEqual([credential]);
    expect(JSON.stringify(step.command)).not.toContain(credential.token);
    expect(await contents(world.directory)).not.toContain(credential.token);
    step.exit(0);
    await world.coordinator.end(assignment);
  });
});
