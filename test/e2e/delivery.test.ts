/** What landed is deployed, once: real git, host agents, and the built programs as processes that are killed on purpose. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AgentProcess } from '../support/agent-process.js';
import { DeliveryProject, type DeliveryProjectOptions } from '../support/delivery-project.js';
import { eventually } from '../support/eventually.js';
import { startUp, type Up } from '../support/installation.js';
import { ada } from '../support/remote.js';
import { SmtpCatcher, type CaughtMail } from '../support/smtp-catcher.js';

const ops = 'ops@example.org';
let root: string;
let up: Up;
let mails: SmtpCatcher;
let deployer: AgentProcess;
const tokens = new Map<string, string>();
const as = (user: string): Readonly<Record<string, string>> => ({ GANTRY_TOKEN: tokens.get(user) ?? '' });

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'gantry-delivery-'));
  mails = await SmtpCatcher.start();
  up = await startUp([
    ...['--executor', 'host', '--slots', '4', '--repo-root', root],
    ...['--smtp', mails.url, '--mail-from', 'gantry@example.org'],
  ]);
  await up.json(['users', 'add', 'ada', '--mail', ada.mail]);
  await up.json(['users', 'add', 'bob', '--role', 'admin', '--mail', 'bob@example.org']);
  await up.json(['users', 'add', 'grace', '--role', 'admin', '--mail', 'grace@example.org']);
  for (const user of ['ada', 'bob', 'grace']) {
    const { text } = (await up.json(['tokens', 'create', '--user', user])) as { readonly text: string };
    tokens.set(user, text);
  }
  deployer = await newDeployer('deployer');
});
afterAll(async () => {
  await deployer.end();
  await up.stop();
  await mails.stop();
  await rm(root, { recursive: true, force: true });
});

const newDeployer = (name: string): Promise<AgentProcess> =>
  AgentProcess.make(up, name, {
    labels: ['deploy'],
    flags: ['--executor', 'host', '--slots', '4', '--repo-root', root],
  });

const project = (
  name: string,
  options: Pick<DeliveryProjectOptions, 'staging' | 'production'> = {},
): Promise<DeliveryProject> => DeliveryProject.make({ up, root, name, ...options });

/** A run, and the run of its verify. */
const rollbackMs = 60_000;
const approval = ['--approval'];

const mailTo = (to: string, ...words: readonly string[]): Promise<CaughtMail> =>
  eventually(`a mail to ${to} with ${words.join(', ')}`, () =>
    mails.to(to).find(({ text, headers }) => {
      const whole = `${headers.get('subject')?.join(' ') ?? ''}\n${text}`;
      return words.every((word) => whole.includes(word));
    }),
  );

const coordinatorIsBack = (): Promise<unknown> =>
  eventually('a coordinator answers', async () => (await up.gantry(['runs'])).code === 0, 30_000);

async function killCoordinator(): Promise<void> {
  const daemon = (await up.daemons()).find(({ name }) => name === 'coordinator');
  process.kill(daemon?.pid ?? 0, 'SIGKILL');
}

describe('What is green on main', () => {
  it('goes to staging, is promoted as the same artifact when somebody else approves, and both are identical', async () => {
    const app = await project('promoted', {
      staging: ['--url', 'http://staging.example', '--differs', 'TOKEN'],
      production: ['--approvers', 'bob', '--not-author', '--differs', 'TOKEN', '--notify', ops],
    });
    await app.secret('production-token', '--environment', 'production');
    const commit = await app.push('one');
    await app.deployed('staging', commit, 'verified');
    const waiting = await app.deployed('production', commit, 'approval');
    expect((await up.gantry(['why', waiting.run, 'production'])).stdout).toContain('approv');
    const asked = await mailTo('bob@example.org', 'promoted', 'production', 'gantry approve production');
    expect(asked.text).toContain(commit.slice(0, 8));
    // Ada wrote it; Grace is not among those who may.
    for (const who of ['ada', 'grace']) {
      const refused = await app.gantry(['approve', 'production'], as(who));
      expect([who, refused.code]).toEqual([who, 5]);
    }
    expect(await app.log('production', 'begin')).toEqual([]);
    const approved = await app.gantry(['approve', 'production'], as('bob'));
    expect(approved.code, approved.stderr).toBe(0);
    expect(await app.deployed('production', commit, 'verified')).toMatchObject({ approvedBy: 'bob' });
    expect(await app.file('production')).toBe(await app.file('staging'));
    expect(await app.file('staging.token')).toBe('nekot-tcejorp\n');
    expect(await app.file('production.token')).toBe('nekot-noitcudorp\n');
    const [staged, produced] = [await app.environment('staging'), await app.environment('production')];
    expect(produced.current?.record.artifacts).toEqual(staged.current?.record.artifacts);
    const same = await app.gantry(['environments', 'diff', 'staging', 'production']);
    expect(same.code, same.stdout).toBe(0);
    expect(same.stdout).toContain('identical');
    await app.json('environments', 'set', 'staging', '--differs', '');
    await app.json('environments', 'set', 'production', '--differs', '');
    const other = await app.gantry(['environments', 'diff', 'staging', 'production', '--json']);
    expect(other.code).toBe(1);
    expect(JSON.parse(other.stdout)).toMatchObject({
      isIdentical: false,
      differences: [{ what: 'secret', name: 'TOKEN' }],
    });
    expect(other.stdout).not.toContain('token-');
    await mailTo(ops, 'promoted', 'production', 'one');
    expect(await up.json(['show', waiting.run])).toMatchObject({ status: 'succeeded' });
  });

  it('is not promoted past a staging that has not verified it, unless somebody vouches for it', async () => {
    const app = await project('unverified');
    await app.push('zero');
    await app.break('staging', 'one');
    const commit = await app.push('one');
    const { run } = await app.deployed('staging', commit, 'failed');
    const shown = await eventually('the end of the run', async () => {
      const view = await app.show(run);
      return view.finishedAt === null ? undefined : view;
    });
    expect(shown.stages.map(({ status }) => status)).toEqual(['succeeded', 'failed', 'skipped']);
    expect(shown.stages[1]?.failure).toMatchObject({ kind: 'not-deployed' });
    const left = await app.gantry(['retry', run, '--force', 'staging is a toy'], as('ada'));
    expect(left.code, left.stdout).toBe(5);
  });

  it('that names an environment nobody added is an invalid pipeline, and told with the command', async () => {
    const app = await project('unknown');
    await app.json('environments', 'remove', 'production');
    const commit = await app.push('one');
    const run = await eventually('its run', async () =>
      (await app.runs()).find((one) => one.commit === commit && one.status === 'failed'),
    );
    expect(run.failure).toMatchObject({ kind: 'invalid-pipeline' });
    expect((await up.gantry(['show', run.run])).stdout).toContain('gantry environments add production');
    expect(await app.log('staging', 'begin')).toEqual([]);
  });
});

describe('What has not landed', () => {
  it('deploys nothing and gets no secret of an environment: a dirty tree, a change that is ejected', async () => {
    const app = await project('unlanded', { staging: [], production: [] });
    await app.secret('staging-token', '--environment', 'staging');
    const first = await app.push('one');
    await app.deployed('staging', first, 'verified');
    const before = await app.log('staging', 'begin');
    await app.json(
      'projects',
      'set',
      app.name,
      '--gate-target',
      'main',
      '--gate-require',
      'build',
      '--gate-secrets',
    );
    const leaks =
      '  leak:\n    agents: [executor=host, deploy]\n    image: null\n    secrets: [TOKEN]\n    steps: ["echo \\"$TOKEN\\" | rev > $SERVERS/leaked"]\n';
    const file = '.gantry.yml';
    const text = await app.remote.git(app.remote.clone, 'show', `HEAD:${file}`);
    await app.remote.commit({ [file]: `${text}\n${leaks}` });
    const submitted = await app.gantry(['submit', '--branch', 'main', '--json'], as('bob'));
    const { run } = JSON.parse(submitted.stdout) as { readonly run: string };
    await up.gantry(['wait', run], { timeoutMs: 60_000 });
    const stages = (await app.show(run)).stages.map(({ name, status }) => `${name} ${status}`);
    expect(stages).toContain('staging skipped');
    expect(stages).toContain('production skipped');
    expect(await app.file('leaked')).not.toContain('nekot-gnigats');
    await app.remote.git(app.remote.clone, 'checkout', '--quiet', '-b', 'bad');
    await app.remote.commit({
      'version.txt': 'bad\n',
      [file]: text.replace('cp version.txt', 'false; cp version.txt'),
    });
    await app.remote.push('HEAD:refs/heads/bad');
    const landed = await app.gantry(['land', 'bad', '--watch'], as('ada'));
    expect(landed.code, landed.stdout).not.toBe(0);
    expect(await app.log('staging', 'begin')).toEqual(before);
  });
});

describe('An approval', () => {
  it('counts once when two give it at the same time; the first word stands', async () => {
    const app = await project('twice', { production: approval });
    const commit = await app.push('one');
    await app.deployed('production', commit, 'approval');
    const answers = await Promise.all([
      app.gantry(['approve', 'production'], as('bob')),
      app.gantry(['approve', 'production'], as('grace')),
    ]);
    expect(
      answers.filter(({ code }) => code === 0).length,
      answers.map((one) => one.stderr).join(),
    ).toBeGreaterThan(0);
    await app.deployed('production', commit, 'verified');
    expect(await app.log('production', 'begin')).toHaveLength(1);
    const late = await app.gantry(['reject', 'production', '--reason', 'too late'], as('grace'));
    expect(late.code).toBe(4);
  });

  it('after a cancel is refused, a rejection ends the run, and nothing was touched', async () => {
    const app = await project('canceled', { production: approval });
    const first = await app.push('one');
    const { run } = await app.deployed('production', first, 'approval');
    await up.gantry(['cancel', run]);
    await app.deployed('production', first, 'canceled');
    expect((await app.gantry(['approve', 'production'], as('bob'))).code).toBe(4);
    const second = await app.push('two');
    const waiting = await app.deployed('production', second, 'approval');
    const rejected = await app.gantry(['reject', 'production', '--reason', 'not on a Friday'], as('bob'));
    expect(rejected.code, rejected.stderr).toBe(0);
    await app.deployed('production', second, 'rejected');
    expect((await up.gantry(['show', waiting.run])).stdout).toContain('not on a Friday');
    expect(await app.log('production', 'begin')).toEqual([]);
  });

  it('is asked for the newer of two that wait; the older is superseded', async () => {
    const app = await project('superseded', { production: approval });
    const first = await app.push('one');
    await app.deployed('production', first, 'approval');
    const second = await app.push('two');
    await app.deployed('production', second, 'approval');
    await app.deployed('production', first, 'superseded');
    expect(
      (await app.gantry(['approve', 'production', '--commit', first.slice(0, 8)], as('bob'))).code,
    ).not.toBe(0);
    await app.gantry(['approve', 'production'], as('bob'));
    await app.deployed('production', second, 'verified');
    // Older than what is there: only a rollback goes back.
    const [older] = (await app.runs()).filter(({ commit, event }) => commit === first && event === 'push');
    const retried = await app.gantry(['retry', older?.run ?? '', '--json'], as('bob'));
    const { run } = JSON.parse(retried.stdout) as { readonly run: string };
    await up.gantry(['wait', run], { timeoutMs: 60_000 });
    expect((await up.gantry(['show', run])).stdout).toContain('outdated');
    expect(await app.log('production', 'begin')).toHaveLength(1);
  });
});

describe('A rollback', () => {
  it('makes the last verified deployment again with its artifact and the secrets of today, and holds until something newer', async () => {
    const app = await project('back');
    const first = await app.push('one');
    await app.deployed('production', first, 'verified');
    const artifact = await app.file('production');
    const second = await app.push('two');
    await app.deployed('production', second, 'verified');
    await app.secret('newer-token', '--environment', 'production');
    const back = await app.gantry(['rollback', 'production'], as('bob'));
    expect(back.code, back.stderr).toBe(0);
    const there = await eventually(
      'the rollback',
      async () => {
        const { current } = await app.environment('production');
        return current?.rollbackOf != null && current.status === 'verified' ? current : undefined;
      },
      rollbackMs,
    );
    expect(there.commit).toBe(first);
    expect(await app.file('production')).toBe(artifact);
    expect(await app.file('production.token')).toBe('nekot-rewen\n');
    expect((await app.environment('production')).holds.join()).toContain('only what is newer');
    const third = await app.push('three');
    await app.deployed('production', third, 'verified');
  });

  it('comes by itself when a verify fails and it is so set, and people are told', async () => {
    const app = await project('selfheal', { production: ['--rolls-back', '--notify', ops] });
    const first = await app.push('one');
    await app.deployed('production', first, 'verified');
    const artifact = await app.file('production');
    await app.break('production', 'two');
    const second = await app.push('two');
    await app.deployed('production', second, 'failed');
    await eventually(
      'the rollback',
      async () => {
        const { current } = await app.environment('production');
        return current?.rollbackOf != null && current.status === 'verified';
      },
      rollbackMs,
    );
    expect(await app.file('production')).toBe(artifact);
    expect((await mailTo(ops, 'selfheal', 'production', 'verify failed')).text).toContain(second.slice(0, 8));
    await mailTo(ops, 'selfheal', 'roll');
  });

  it('that is asked for during a deployment waits for its end, and comes first', async () => {
    const app = await project('during');
    const first = await app.push('one');
    await app.deployed('production', first, 'verified');
    await app.hold('production');
    const second = await app.push('two');
    await app.deployed('production', second, 'running');
    expect((await app.gantry(['rollback', 'production'], as('bob'))).code).toBe(0);
    const third = await app.push('three');
    await app.deployed('staging', third, 'verified');
    expect(await app.log('production', 'begin')).toHaveLength(2);
    await app.release('production');
    await app.deployed('production', second, 'verified');
    await app.deployed('production', third, 'verified');
    expect((await app.log('production', 'put')).map((line) => line.split(' ')[1])).toEqual([
      first,
      second,
      first,
      third,
    ]);
  });
});

describe('kill -9', () => {
  it('of the coordinator in the middle of a deployment: it goes on, once', async () => {
    const app = await project('leader', { production: approval });
    await app.hold('staging');
    const commit = await app.push('one');
    await app.deployed('staging', commit, 'running');
    await eventually('its first step', async () => (await app.log('staging', 'begin')).length === 1);
    await killCoordinator();
    await coordinatorIsBack();
    await app.release('staging');
    await app.deployed('staging', commit, 'verified');
    await app.deployed('production', commit, 'approval');
    await killCoordinator();
    await coordinatorIsBack();
    expect((await app.gantry(['approve', 'production'], as('bob'))).code).toBe(0);
    await app.deployed('production', commit, 'verified');
    expect(await app.log('staging', 'begin')).toHaveLength(1);
    expect(await app.log('production', 'begin')).toHaveLength(1);
  });

  it('of the agent after its first step: unknown, never begun again, and what is newer waits until a person settles it', async () => {
    const app = await project('lost', { staging: ['--notify', ops] });
    const first = await app.push('zero');
    await app.deployed('production', first, 'verified');
    await app.hold('staging');
    const commit = await app.push('one');
    await eventually('its first step', async () => (await app.log('staging', 'begin')).length === 2);
    await deployer.kill();
    await deployer.end();
    const { run } = await app.deployed('staging', commit, 'unknown', 60_000);
    await mailTo(ops, 'lost', 'staging', 'gantry environments settle staging');
    await app.release('staging');
    const newer = await app.push('two');
    await app.deployed('staging', newer, 'queued');
    expect((await up.gantry(['why', run, 'staging'])).stdout).toContain('settle');
    const settled = await app.gantry(['environments', 'settle', 'staging', '--good'], as('bob'));
    expect(settled.code, settled.stderr).toBe(0);
    await app.deployed('staging', commit, 'verified');
    deployer = await newDeployer('another');
    await app.deployed('staging', newer, 'verified');
    expect((await app.log('staging', 'begin')).map((line) => line.split(' ')[1])).toEqual([
      first,
      commit,
      newer,
    ]);
  });

  it('of the agent, which comes back while somebody settles: one defined end, and nothing begun twice', async () => {
    const app = await project('returns');
    await app.hold('staging');
    const commit = await app.push('one');
    await eventually('its first step', async () => (await app.log('staging', 'begin')).length === 1);
    await deployer.kill();
    await app.deployed('staging', commit, 'unknown', 60_000);
    await app.release('staging');
    deployer.start();
    await app.gantry(['environments', 'settle', 'staging', '--bad'], as('bob'));
    await app.deployed('staging', commit, 'failed', 60_000);
    const next = await app.push('two');
    await app.deployed('staging', next, 'verified');
    expect(await app.log('staging', 'begin')).toHaveLength(2);
  });

  it('of the agent before its first step is ours: the deployment begins once, elsewhere', async () => {
    const app = await project('early');
    const first = await app.push('zero');
    await app.deployed('staging', first, 'verified');
    // Nobody may begin: the agent is stopped while it would be given the stage.
    await deployer.kill();
    const commit = await app.push('one');
    await app.deployed('staging', commit, 'starting', 90_000);
    deployer.start();
    await app.deployed('staging', commit, 'verified', 90_000);
    expect(await app.log('staging', 'begin')).toHaveLength(2);
  });
});
