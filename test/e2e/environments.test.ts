/** Environments as people handle them: `gantry environments`, `approve`, `reject`, `rollback`, `secrets`, with the built programs. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type {
  ShownDeployment,
  ShownDiff,
  ShownEnvironment,
} from '../../coordinator/cli/environments/environment-from-wire.js';
import { eventually } from '../support/eventually.js';
import { startUp, type Finished, type Up } from '../support/installation.js';
import { ada, Remote } from '../support/remote.js';

let root: string;
let up: Up;
let remote: Remote;
let first: string;
/** By user: whose token a command uses. */
const tokens = new Map<string, Readonly<Record<string, string>>>();

const pipeline = (servers: string): string => `env: { SERVERS: "${servers}" }
stages:
  build:
    steps: [cp version.txt app.txt]
    artifacts: { app: app.txt }
  staging:
    needs: [build]
    environment: staging
    secrets: [TOKEN]
    steps:
      - name: deploy
        run: cp app.txt "$SERVERS/$GANTRY_ENVIRONMENT"; printf %s "$TOKEN $GANTRY_ENVIRONMENT_URL" | rev > "$SERVERS/$GANTRY_ENVIRONMENT.token"
  production:
    needs: [build, staging]
    environment: production
    secrets: [TOKEN]
    verify: ['test "$TOKEN" = of-production']
    steps:
      - name: deploy
        run: cp app.txt "$SERVERS/$GANTRY_ENVIRONMENT"; printf %s "$TOKEN $GANTRY_ENVIRONMENT_URL" | rev > "$SERVERS/$GANTRY_ENVIRONMENT.token"
`;

/** As the owner, or as a user. */
const gantry = (args: readonly string[], as?: string, input?: string): Promise<Finished> =>
  up.gantry(args, {
    cwd: remote.clone,
    ...(as === undefined ? {} : { env: tokens.get(as) ?? {} }),
    ...(input === undefined ? {} : { input }),
  });
async function done(...args: readonly string[]): Promise<string> {
  const finished = await gantry(args);
  expect(finished.code, finished.stderr).toBe(0);
  return finished.stdout;
}
const show = async (environment: string): Promise<ShownEnvironment> =>
  JSON.parse(await done('environments', 'show', environment, '--json')) as ShownEnvironment;
const deployed = (environment: string, commit: string, status: string): Promise<ShownDeployment> =>
  eventually(
    `${commit.slice(0, 8)} is ${status} in ${environment}`,
    async () => {
      const { open, history } = await show(environment);
      return [...open, ...history].find((one) => one.commit === commit && one.status === status);
    },
    60_000,
  );
const server = (name: string): Promise<string> => readFile(join(root, name), 'utf8');
const reversed = (text: string): string => Array.from(text.trim()).reverse().join('');

async function push(version: string): Promise<string> {
  const commit = await remote.commit({ 'version.txt': `${version}\n` }, { message: version });
  await remote.push();
  await done('projects', 'poll', remote.directory);
  return commit;
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'gantry-environments-'));
  up = await startUp(['--executor', 'host', '--slots', '4', '--repo-root', root]);
  remote = await Remote.make(root);
  await up.json(['users', 'add', 'ada', '--mail', ada.mail]);
  for (const name of ['bob', 'carl']) await up.json(['users', 'add', name]);
  await up.json(['users', 'add', 'boss', '--role', 'admin']);
  for (const name of ['ada', 'bob', 'carl', 'boss']) {
    const { text } = (await up.json(['tokens', 'create', '--user', name])) as { readonly text: string };
    tokens.set(name, { GANTRY_TOKEN: text });
  }
  await remote.commit({ README: 'no pipeline yet\n' });
  await remote.push();
  await up.json(['projects', 'add', remote.directory, '--poll', '0']);
  await done('environments', 'add', 'staging', '--url', 'https://staging.example.org');
  await done(
    ...['environments', 'add', 'production', '--promotes-from', 'staging', '--differs', 'TOKEN'],
    ...['--approvers', 'ada,bob', '--not-author'],
  );
  for (const [value, ...flags] of [['of-the-project'], ['of-production', '--environment', 'production']]) {
    expect(await gantry(['secrets', 'set', 'TOKEN', ...flags], undefined, value)).toMatchObject({ code: 0 });
  }
  await remote.commit({ '.gantry.yml': pipeline(root) });
  first = await push('one');
});
afterAll(async () => {
  await up.stop();
  await rm(root, { recursive: true, force: true });
});

describe('a deployment to production', () => {
  it('waits for an approval that neither its author nor whoever is not named can give', async () => {
    const { run } = await deployed('production', first, 'approval');
    for (const [who, words] of [
      ['ada', /wrote some of it, and production wants the approval of somebody else/],
      ['carl', /not allowed: production wants the approval of ada or bob/],
      ['boss', /boss is none of those whose approval production wants/],
    ] as const) {
      const refused = await gantry(['approve', 'production'], who);
      expect(refused.code, who).toBe(5);
      expect(refused.stderr).toMatch(words);
    }
    const wrong = await gantry(['approve', run.slice(0, 8), '--commit', 'ffff'], 'bob');
    expect(wrong).toMatchObject({ code: 5 });
    expect(await server('production').catch(() => 'nothing')).toBe('nothing');
    const approved = await gantry(['approve', run.slice(0, 8), '--commit', first.slice(0, 7)], 'bob');
    expect(approved.code, approved.stderr).toBe(0);
    expect(approved.stdout).toContain('approved: deployment 1 to production');
    expect(approved.stderr).toContain(`gantry watch ${run.slice(0, 8)}`);
    await deployed('production', first, 'verified');
    expect(await gantry(['approve', 'production'], 'bob')).toMatchObject({ code: 4 });
  });

  it('brings the artifacts of staging, and secrets of its own', async () => {
    expect(await server('production')).toBe(await server('staging'));
    expect(reversed(await server('staging.token'))).toBe('of-the-project https://staging.example.org');
    expect(reversed(await server('production.token'))).toBe('of-production');
    const { current } = await show('production');
    expect(current).toMatchObject({
      commit: first,
      approvedBy: 'bob',
      by: ada.name,
      commits: { since: null },
    });
    const same = await gantry(['environments', 'diff', 'staging', 'production']);
    expect(same.code, same.stdout).toBe(0);
    expect(same.stdout).toContain('identical');
  });

  it('is rejected with a reason, and then staging and production differ', async () => {
    const second = await push('two');
    await deployed('production', second, 'approval');
    expect(await gantry(['reject', 'production', '--reason', 'no'], 'carl')).toMatchObject({ code: 5 });
    const rejected = await gantry(['reject', '--reason', 'not today'], 'bob');
    expect(rejected.code, rejected.stderr).toBe(0);
    expect((await deployed('production', second, 'rejected')).reason).toBe('bob rejected it: not today');
    const found = await up.json(['environments', 'diff', 'staging', 'production'], {
      cwd: remote.clone,
      codes: [1],
    });
    expect((found as ShownDiff).differences.map(({ what }) => what)).toEqual(['commit', 'artifact']);
  });

  it('goes back by a rollback, and forward by a retry that somebody vouches for', async () => {
    await done('environments', 'set', 'production', '--no-approval');
    const third = await push('three');
    await deployed('production', third, 'verified');
    const back = (await up.json(['rollback', 'production'], { cwd: remote.clone })) as {
      readonly deployment: number;
    };
    const there = await eventually('production is back', async () => {
      const { current } = await show('production');
      return current?.deployment === back.deployment && current.status === 'verified' ? current : undefined;
    });
    expect(there).toMatchObject({ commit: first, rollbackOf: 1 });
    expect(await server('production')).toBe('one\n');
    const { status, holds } = await show('production');
    expect([status, holds.length]).toEqual(['held', 1]);
    const text = await done('environments', 'show', 'production');
    expect(text).toContain('gantry environments resume production');
    await done('environments', 'resume', 'production');

    const { run } = await deployed('staging', third, 'verified');
    const force = ['retry', run, '--force', 'it was fine'];
    expect(await gantry(force, 'bob')).toMatchObject({ code: 5 });
    expect((await gantry(force, 'boss')).code).toBe(0);
    const forced = await eventually(
      'it is deployed again',
      async () => {
        const { current } = await show('production');
        return current?.commit === third && current.status === 'verified' ? current : undefined;
      },
      60_000,
    );
    expect(forced.forced).toBe('boss: it was fine');
    expect(await done('audit', '--action', 'run.retry')).toContain('forced: it was fine');
  });
});

describe('secrets and environments', () => {
  it('are listed with their scope, and go with their environment', async () => {
    expect(await gantry(['secrets', 'set', 'TOKEN', 'of-the-shell'])).toMatchObject({ code: 2 });
    expect(
      await gantry(['secrets', 'set', 'KEY', '--environment', 'nope'], undefined, 'long enough'),
    ).toMatchObject({ code: 4 });
    await done('environments', 'add', 'review');
    await gantry(['secrets', 'set', 'KEY', '--environment', 'review'], undefined, 'long enough');
    const listed = await done('secrets', 'ls');
    expect(listed).toMatch(/KEY +review/);
    await done('environments', 'rm', 'review');
    expect(await done('secrets', 'ls')).not.toContain('review');
    expect(await gantry(['environments', 'show', 'review'])).toMatchObject({ code: 4 });
    expect(await gantry(['environments', 'hold', 'staging'], 'bob')).toMatchObject({ code: 5 });
  });
});
