/** A push becomes a run: polled, told by a hook, or both; with real git, and the built programs as processes. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.js';
import { startUp, type Up } from '../support/installation.js';
import { Remote } from '../support/remote.js';
import { post, pushed, pushedMany, zeros, type Signed } from '../support/webhook-sender.js';

interface Row {
  readonly run: string;
  readonly status: string;
  readonly branch: string | null;
  readonly commit: string;
  readonly event: string;
  readonly by: string;
}

/** On a host agent without an image: what is tested is why runs exist, not how steps run. */
const pipeline = (more = '', step = 'true'): string =>
  `${more}stages:\n  test:\n    agents: [executor=host]\n    image: null\n    steps: ["${step}"]\n`;

let root: string;
let up: Up;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'gantry-remotes-'));
  up = await startUp(['--executor', 'host', '--slots', '4', '--repo-root', root]);
});
afterAll(async () => {
  await up.stop();
  await rm(root, { recursive: true, force: true });
});

const runsOf = async (remote: Remote): Promise<readonly Row[]> => {
  const name = remote.directory.replace(/\.git$/, '');
  const { runs } = (await up.json(['runs', '--project', name])) as { runs: readonly Row[] };
  return runs;
};

/** The run of a commit, once it has ended. */
const ended = (remote: Remote, commit: string, withinMs = 60_000): Promise<Row> =>
  eventually(
    `the end of a run of ${commit.slice(0, 8)}`,
    async () =>
      (await runsOf(remote)).find(
        (run) => run.commit === commit && !['pending', 'waiting', 'running'].includes(run.status),
      ),
    withinMs,
  );

const add = (remote: Remote, ...flags: readonly string[]): Promise<unknown> =>
  up.json(['projects', 'add', remote.directory, ...flags]);
const poll = (remote: Remote): Promise<unknown> => up.json(['projects', 'poll', remote.directory]);

async function project(name: string, files: Readonly<Record<string, string>>, ...flags: readonly string[]) {
  const remote = await Remote.make(root, name);
  const commit = await remote.commit(files);
  await remote.push();
  await add(remote, ...flags);
  return { remote, commit };
}

const hookOf = async (remote: Remote): Promise<Signed> =>
  (await up.json(['projects', 'hook', remote.directory])) as Signed;

describe('A project', () => {
  it('builds its default branch when it is added, and each push within the polling interval', async () => {
    const { remote, commit } = await project('polled', { '.gantry.yml': pipeline() }, '--poll', '1s');
    expect(await ended(remote, commit)).toMatchObject({ status: 'succeeded', event: 'push', branch: 'main' });
    const second = await remote.commit({ a: '1' }, { message: 'second' });
    const third = await remote.commit({ a: '2' }, { message: 'third' });
    await remote.push();
    expect(await ended(remote, third, 20_000)).toMatchObject({ status: 'succeeded', by: 'Ada Author' });
    // Commits between two pushes get no run.
    expect((await runsOf(remote)).map((run) => run.commit)).not.toContain(second);
  });

  it('whose other branches were there before builds them when they move', async () => {
    const remote = await Remote.make(root, 'branches');
    await remote.commit({ '.gantry.yml': pipeline() });
    await remote.push('HEAD:main', 'HEAD:old-one');
    await add(remote, '--poll', '0');
    const next = await remote.commit({ a: '1' });
    await remote.push('HEAD:old-one');
    await poll(remote);
    expect(await ended(remote, next)).toMatchObject({ branch: 'old-one' });
    expect(await runsOf(remote)).toHaveLength(2);
  });

  it('is refused where its repository cannot be read, and says why', async () => {
    const nowhere = await up.gantry(['projects', 'add', join(root, 'nowhere.git')]);
    expect(nowhere.code).toBe(2);
    expect(nowhere.stderr).toContain('does not exist on this machine');
    const outside = await up.gantry(['projects', 'add', '/etc']);
    expect(outside.code).toBe(2);
    expect(outside.stderr).toContain('--repo-root');
    const remote = await Remote.make(root, 'twice');
    await add(remote);
    const twice = await up.gantry(['projects', 'add', remote.directory]);
    expect(twice.code).toBe(5);
    expect(twice.stderr).toContain('gantry projects set');
  });

  it('that is removed is built no more', async () => {
    const { remote, commit } = await project('removed', { '.gantry.yml': pipeline() }, '--poll', '1s');
    await ended(remote, commit);
    await up.json(['projects', 'remove', remote.directory]);
    expect((await up.gantry(['projects', 'show', remote.directory])).code).toBe(4);
  });
});

describe('A push gets no run', () => {
  const quiet = async (name: string, files: Readonly<Record<string, string>>, message = 'a change') => {
    const { remote, commit } = await project(name, { '.gantry.yml': pipeline() }, '--poll', '0');
    await ended(remote, commit);
    await remote.commit(files, { message });
    await remote.push();
    await poll(remote);
    // One more push that gets one: when that has ended, the other one's turn was long before.
    await remote.commit({ '.gantry.yml': pipeline() }, { message: 'loud' });
    await remote.push('HEAD:refs/heads/loud');
    await poll(remote);
    await ended(remote, await remote.git(remote.clone, 'rev-parse', 'HEAD'));
    return (await runsOf(remote)).map((run) => run.commit);
  };

  it('when its message says [skip ci]', async () => {
    expect(await quiet('skipped', { a: '1' }, 'docs only [skip ci]')).toHaveLength(2);
  });

  it('when `on` does not want its branch, its paths or its event', async () => {
    const { remote, commit } = await project(
      'picky',
      { '.gantry.yml': pipeline('on: { branches: [main, "release/**"], paths: ["src/**"] }\n') },
      '--poll',
      '0',
    );
    await ended(remote, commit);
    const docs = await remote.commit({ 'docs/a.md': '1' });
    await remote.push();
    await poll(remote);
    const code = await remote.commit({ 'src/a.py': '1' });
    await remote.push('HEAD:main', 'HEAD:topic', 'HEAD:release/1', 'HEAD:refs/tags/v1');
    await poll(remote);
    await ended(remote, code);
    await eventually('the run of release/1', async () =>
      (await runsOf(remote)).some((run) => run.branch === 'release/1'),
    );
    const rows = await runsOf(remote);
    expect(rows.map((run) => run.commit)).not.toContain(docs);
    expect(rows.map((run) => run.branch).toSorted()).toEqual(['main', 'main', 'release/1']);
  });

  it('when the commit has no pipeline file', async () => {
    const remote = await Remote.make(root, 'bare');
    await remote.commit({ a: '1' });
    await remote.push();
    await add(remote, '--poll', '0');
    const commit = await remote.commit({ '.gantry.yml': pipeline() });
    await remote.push();
    await poll(remote);
    await ended(remote, commit);
    expect(await runsOf(remote)).toHaveLength(1);
  });
});

describe('A push whose pipeline is invalid', () => {
  it('gets a run that has failed and says what is wrong where', async () => {
    const { remote, commit } = await project(
      'invalid',
      { '.gantry.yml': 'stages:\n  test: { stebs: [make] }\n' },
      '--poll',
      '0',
    );
    const run = await ended(remote, commit);
    expect(run.status).toBe('failed');
    const shown = await up.gantry(['show', run.run]);
    expect(shown.stdout).toContain('stebs');
    expect(shown.stdout).toContain('did you mean');
  });
});

describe('A tag', () => {
  it('gets a run where `on` names tags', async () => {
    const { remote, commit } = await project(
      'tags',
      { '.gantry.yml': pipeline('on: { tags: ["v*"] }\n') },
      '--poll',
      '0',
    );
    await remote.git(
      remote.clone,
      '-c',
      'user.name=A',
      '-c',
      'user.email=a@b.c',
      'tag',
      '-a',
      '-m',
      'one',
      'v1',
    );
    await remote.git(remote.clone, 'tag', 'other');
    await remote.push('--tags');
    await poll(remote);
    const tagged = await eventually('the run of the tag', async () =>
      (await runsOf(remote)).find((run) => run.event === 'tag'),
    );
    expect(tagged.commit).toBe(commit);
    expect((await runsOf(remote)).filter((run) => run.event === 'tag')).toHaveLength(1);
  });
});

describe('A force-push', () => {
  it('gets one run, whoever tells of it', async () => {
    const { remote, commit } = await project('forced', { '.gantry.yml': pipeline() }, '--poll', '0');
    await ended(remote, commit);
    await remote.git(remote.clone, 'checkout', '--quiet', '--orphan', 'again');
    const forced = await remote.commit({ '.gantry.yml': pipeline(), a: '1' }, { message: 'rewritten' });
    await remote.push('--force', 'HEAD:main');
    const told = await post(await hookOf(remote), pushed('refs/heads/main', commit, forced));
    expect(told.status).toBe(202);
    await poll(remote);
    expect(await ended(remote, forced)).toMatchObject({ status: 'succeeded', branch: 'main' });
    await poll(remote);
    expect((await runsOf(remote)).map((run) => run.commit)).toEqual([forced, commit]);
  });
});

describe('A stage that is skipped', () => {
  it('says why, while the run is followed and afterwards', async () => {
    const host = 'agents: [executor=host], image: null';
    const { remote, commit } = await project(
      'conditions',
      {
        '.gantry.yml': `stages:
  build: { ${host}, steps: ["false"] }
  package: { ${host}, needs: [build], steps: ["true"] }
  publish: { ${host}, if: 'branch == "release"', steps: ["true"] }
  report: { ${host}, needs: [build], if: always(), steps: ["true"] }
`,
      },
      '--poll',
      '0',
    );
    const reasons = {
      package: 'it needs build, which failed',
      publish: 'its condition does not hold: branch == "release"',
    };
    const followed = await up.gantry(['projects', 'run', remote.directory, '--follow']);
    expect(followed.code, followed.stdout + followed.stderr).toBe(1);
    for (const reason of Object.values(reasons)) expect(followed.stdout).toContain(`– skipped: ${reason}`);
    const { run } = await ended(remote, commit);
    const { stages } = (await up.json(['show', run])) as {
      stages: readonly { name: string; status: string; whySkipped: string | null }[];
    };
    expect(stages.map(({ name, status, whySkipped }) => [name, status, whySkipped])).toEqual([
      ['build', 'failed', null],
      ['package', 'skipped', reasons.package],
      ['publish', 'skipped', reasons.publish],
      ['report', 'succeeded', null],
    ]);
  });
});

describe('A deleted branch', () => {
  it('cancels what waits of it', async () => {
    const { remote, commit } = await project('deleted', { '.gantry.yml': pipeline() }, '--poll', '0');
    await ended(remote, commit);
    // Labels that nobody has: the run waits for ever.
    const waiting = await remote.commit({
      '.gantry.yml': 'stages:\n  test: { agents: [executor=host, nobody], image: null, steps: ["true"] }\n',
    });
    await remote.push('HEAD:topic');
    await poll(remote);
    await eventually('the waiting run', async () =>
      (await runsOf(remote)).some((run) => run.commit === waiting && run.status === 'waiting'),
    );
    await remote.push('--delete', 'topic');
    await poll(remote);
    expect(await ended(remote, waiting)).toMatchObject({ status: 'canceled' });
  });
});

describe('A newer push', () => {
  it('cancels runs of older ones where the project asks for it', async () => {
    const slow = pipeline('', 'sleep 600');
    const { remote, commit } = await project(
      'superseded',
      { '.gantry.yml': slow },
      '--poll',
      '0',
      '--cancel-superseded',
    );
    await eventually('the first run', async () =>
      (await runsOf(remote)).some((run) => run.commit === commit && run.status === 'running'),
    );
    const next = await remote.commit({ '.gantry.yml': pipeline() });
    await remote.push();
    await poll(remote);
    expect(await ended(remote, commit)).toMatchObject({ status: 'canceled' });
    expect(await ended(remote, next)).toMatchObject({ status: 'succeeded' });
  });
});

describe('A manual run', () => {
  it('runs a branch whatever `on` says', async () => {
    const { remote } = await project(
      'manual',
      { '.gantry.yml': pipeline('on: { branches: [never] }\n') },
      '--poll',
      '0',
    );
    const followed = await up.gantry(['projects', 'run', remote.directory, '--follow']);
    expect(followed.code, followed.stdout + followed.stderr).toBe(0);
    expect((await runsOf(remote)).map((run) => run.event)).toEqual(['manual']);
  });

  it('of another repository that goes by the name of a project gets none of its secrets', async () => {
    const stage = 'stages:\n  test:\n    agents: [executor=host]\n    image: null\n';
    const steal = `${stage}    secrets: [TOKEN]\n    steps: ['test -n "$TOKEN"']\n`;
    const { remote } = await project('named', { '.gantry.yml': steal }, '--poll', '0');
    const set = ['secrets', 'set', remote.directory, 'TOKEN'];
    expect((await up.gantry(set, { input: 'a value of some length' })).code).toBe(0);
    await up.gantry(['users', 'add', 'mallory']);
    const token = (await up.gantry(['tokens', 'create', '--user', 'mallory'])).stdout.trim();
    const submit = (repository: string) =>
      up.gantry(['submit', '--repo', repository, '--commit', 'main', '--follow'], {
        env: { GANTRY_TOKEN: token },
      });
    const own = await submit(remote.directory);
    expect(own.code, own.stdout + own.stderr).toBe(0);

    const other = remote.directory.replace(/\.git$/, '');
    await remote.git(root, 'clone', '--quiet', remote.clone, other);
    const stolen = await submit(other);
    expect(stolen.code, stolen.stdout + stolen.stderr).toBe(1);
    expect(stolen.stdout + stolen.stderr).toContain('mallory does not have it');

    // Nor does whoever looks into the failed run hand them over unawares.
    const failed = (await runsOf(remote)).find((run) => run.status === 'failed');
    const retry = (...flags: readonly string[]) =>
      up.gantry(['retry', failed?.run ?? '', '--follow', ...flags]);
    const again = await retry();
    expect(again.code, again.stdout + again.stderr).toBe(1);
    expect(again.stderr).toMatch(/TOKEN stays closed.*what mallory has it do.*--with-secrets/);
    const opened = await retry('--with-secrets');
    expect(opened.code, opened.stdout + opened.stderr).toBe(0);
  });
});

describe('A hook', () => {
  it('that `projects hook --install` writes tells of a push at once, to whoever pushed', async () => {
    const { remote, commit } = await project('hooked', { '.gantry.yml': pipeline() }, '--poll', '0');
    await ended(remote, commit);
    await up.json(['projects', 'hook', remote.directory, '--install', remote.directory]);
    const next = await remote.commit({ a: '1' });
    const said = await remote.push();
    expect(said.stderr).toContain('gantry: told');
    expect(await ended(remote, next)).toMatchObject({ status: 'succeeded' });
    await poll(remote);
    const runs = await runsOf(remote);
    expect(runs.filter((run) => run.commit === next)).toHaveLength(1);
    const { deliveries } = (await up.json(['projects', 'deliveries', remote.directory])) as {
      deliveries: readonly { moves: readonly string[]; runs: readonly string[] }[];
    };
    expect(deliveries).toHaveLength(1);
    expect(deliveries[0]?.runs).toEqual([runs.find((run) => run.commit === next)?.run]);
  });

  it('does not fail a push when the coordinator is away', async () => {
    const { remote } = await project('unreachable', { '.gantry.yml': pipeline() }, '--poll', '0');
    await up.json(['projects', 'hook', remote.directory, '--install', remote.directory]);
    const hook = join(remote.directory, 'hooks', 'post-receive');
    const { readFile, writeFile } = await import('node:fs/promises');
    const text = await readFile(hook, 'utf8');
    await writeFile(hook, text.replace(/'http:[^']*'/, `'http://127.0.0.1:1/hooks/x'`), { mode: 0o755 });
    await remote.commit({ a: '1' });
    expect((await remote.push()).stderr).toContain('found by polling');
  });
});

describe('A webhook', () => {
  it('is taken with a good signature only, once, and never logged with its secret', async () => {
    const { remote, commit } = await project('signed', { '.gantry.yml': pipeline() }, '--poll', '0');
    await ended(remote, commit);
    const hook = await hookOf(remote);
    const next = await remote.commit({ a: '1' });
    await remote.push();
    const body = pushed('refs/heads/main', commit, next);
    const now = Math.floor(Date.now() / 1000);
    const refused: readonly [string, Promise<Response>, number][] = [
      ['no signature', fetch(hook.url, { method: 'POST', body }), 401],
      ['a wrong signature', post({ ...hook, secret: 'other' }, body), 401],
      ['an old signature', post(hook, body, { timestamp: now - 301 }), 401],
      ['one from the future', post(hook, body, { timestamp: now + 360 }), 401],
      [
        'another project',
        post({ ...hook, url: hook.url.replace(/.$/, (c) => (c === 'a' ? 'b' : 'a')) }, body),
        401,
      ],
      ['no project', post({ ...hook, url: `${hook.url}x` }, body), 401],
      ['no delivery id', post(hook, body, { delivery: 'x' }), 400],
      ['no JSON', post(hook, '{'), 400],
      ['no move', post(hook, '{"moves":[]}'), 400],
      ['more than can be recorded', post(hook, pushedMany(500, 850)), 400],
      ['too much', post(hook, 'x'.repeat(600 * 1024)), 413],
    ];
    for (const [what, answer, status] of refused) expect((await answer).status, what).toBe(status);
    const delivery = randomBytes(16).toString('hex');
    const taken = await post(hook, body, { delivery });
    expect(taken.status).toBe(202);
    const { runs } = (await taken.json()) as { runs: readonly string[] };
    expect(runs).toHaveLength(1);
    // The same delivery again is a replay, under another id too; the same push told again by another one is known.
    expect((await post(hook, body, { delivery })).status).toBe(409);
    expect((await post(hook, body, { delivery: `${delivery}-2`, signed: delivery })).status).toBe(401);
    const again = await post(hook, body);
    expect([again.status, ((await again.json()) as { runs: unknown }).runs]).toEqual([202, []]);
    await poll(remote);
    expect(await ended(remote, next)).toMatchObject({ run: runs[0], by: 'ada' });
    expect((await runsOf(remote)).filter((run) => run.commit === next)).toHaveLength(1);
    expect(await up.logOf('coordinator')).not.toContain(hook.secret);
    const rotated = (await up.json(['projects', 'hook', remote.directory, '--rotate'])) as Signed;
    expect((await post(hook, body)).status).toBe(401);
    expect((await post(rotated, body)).status).toBe(202);
  });

  it('tells of hostile names without anything being run or broken by them', async () => {
    const { remote, commit } = await project('hostile', { '.gantry.yml': pipeline() }, '--poll', '0');
    await ended(remote, commit);
    const branch = `x$(touch\${IFS}pwned)\`id\`';"&<b>`;
    const author = { name: `"; rm -rf / #'$(id)`, mail: 'a"b$(id)@example.org' };
    const next = await remote.commit({ a: '1' }, { message: `$(id) \`id\` "'; {{x}} \u202e`, author });
    await remote.push(`HEAD:refs/heads/${branch}`);
    await poll(remote);
    expect(await ended(remote, next)).toMatchObject({ status: 'succeeded', branch });
  });
});

describe('A burst of 1,000 deliveries', () => {
  it('loses none, also when the coordinator is killed in its middle', async () => {
    const { remote, commit } = await project('burst', { '.gantry.yml': pipeline() }, '--poll', '0');
    await ended(remote, commit);
    const hook = await hookOf(remote);
    const coordinator = (await up.daemons()).find(({ name }) => name === 'coordinator');
    let answered = 0;
    /** As a hook does: again until it is answered with something that says that it was taken. */
    const deliver = async (n: number): Promise<void> => {
      // A branch that asks for no run is one move all the same: what is counted is what became durable.
      const now = createHash('sha1').update(String(n)).digest('hex');
      const body = pushed(`refs/heads/burst/${n}`, zeros, now);
      const delivery = `burst-delivery-${n}`;
      for (;;) {
        const answer = await post(hook, body, { delivery }).catch(() => undefined);
        answered += 1;
        if (answered === 400 && coordinator !== undefined) process.kill(coordinator.pid, 'SIGKILL');
        if (answer?.status === 202 || answer?.status === 409) return;
        expect([undefined, 503]).toContain(answer?.status);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    };
    const numbers = Array.from({ length: 1_000 }, (_, n) => n);
    const width = 50;
    await Promise.all(
      Array.from({ length: width }, async (_, lane) => {
        for (const n of numbers.filter((one) => one % width === lane)) await deliver(n);
      }),
    );
    const shown = (await up.json(['projects', 'show', remote.directory])) as { refs: number };
    expect(shown.refs).toBe(1_001);
    expect(await up.logOf('coordinator')).not.toContain('MaxListenersExceededWarning');
  });
});
