/** Only what is green lands: `gantry land` with real git, and the built programs as processes. */
import { access, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.js';
import { GateProject, gatePipeline, type GateProjectOptions } from '../support/gate-project.js';
import { runProgram, startUp, type Up } from '../support/installation.js';
import { ada } from '../support/remote.js';
import type { RunView } from '../../shared/model/run.js';
import { SmtpCatcher, type CaughtMail } from '../support/smtp-catcher.js';

const maintainer = 'grace@example.org';
let root: string;
let up: Up;
let mails: SmtpCatcher;
let asAda: Readonly<Record<string, string>>;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'gantry-gates-'));
  mails = await SmtpCatcher.start();
  up = await startUp([
    ...['--executor', 'host', '--slots', '4', '--repo-root', root],
    ...['--smtp', mails.url, '--mail-from', 'gantry@example.org'],
  ]);
  await up.json(['users', 'add', 'ada', '--mail', ada.mail]);
  await up.json(['users', 'add', 'grace', '--role', 'admin', '--mail', maintainer]);
  const made = (await up.json(['tokens', 'create', '--user', 'ada'])) as { readonly text: string };
  asAda = { GANTRY_TOKEN: made.text };
});
afterAll(async () => {
  for (const one of projects) one.close();
  await up.stop();
  await mails.stop();
  await rm(root, { recursive: true, force: true });
});

const projects: GateProject[] = [];
async function project(
  name: string,
  flags: readonly string[] = [],
  files: NonNullable<GateProjectOptions['files']> = {},
): Promise<GateProject> {
  const made = await GateProject.make({ up, root, name, flags, files, env: asAda });
  projects.push(made);
  return made;
}

const mailTo = (to: string, ...words: readonly string[]): Promise<CaughtMail> =>
  eventually(`a mail to ${to} with ${words.join(', ')}`, () =>
    mails.to(to).find(({ text, headers }) => {
      const whole = `${headers.get('subject')?.join(' ') ?? ''}\n${text}`;
      return words.every((word) => whole.includes(word));
    }),
  );

/** A test that goes on until the file is there. */
const waitingFor = (file: string, then = 'true'): string =>
  `i=0; while [ ! -e '${file}' ] && [ $i -lt 600 ]; do sleep 0.1; i=$((i+1)); done; ${then}\n`;

const pipelineOf = (stages: string): string => `stages:\n${stages}`;
const hostStage = (name: string, step: string, more = ''): string =>
  `  ${name}: { agents: [executor=host], image: null, steps: ["${step}"]${more} }\n`;

async function hook(app: GateProject, name: string, script: string): Promise<void> {
  await writeFile(join(app.remote.directory, 'hooks', name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

type Shown = Pick<RunView, 'stages' | 'artifacts'>;

describe('A change that is queued', () => {
  it('lands when its merged result is green, with the trailer of its run and its author kept', async () => {
    const app = await project('green');
    const change = await app.branch('login', { 'login.txt': 'new' }, { message: 'Add the login' });
    const landed = await app.land('login');
    expect(landed).toMatchObject({ status: 'landed' });
    const tip = await app.tip('main');
    expect(tip).toBe(landed.landedAs);
    expect(await app.show(tip, '%P')).toBe(`${app.first} ${change}`);
    expect(await app.show(tip, '%an %cn')).toBe('Gantry Gantry');
    expect(await app.show(tip, '%(trailers:key=Gantry-Run,valueonly)')).toBe(landed.run);
    expect(await app.show(change, '%an')).toBe('Ada Author');
    expect(await app.runs()).toContainEqual(
      expect.objectContaining({ run: landed.run, event: 'gate', status: 'succeeded', commit: tip }),
    );
    // What landed is built as a push, once.
    const pushed = await app.ended(tip, 'push');
    expect(pushed.status).toBe('succeeded');
    expect((await app.runs()).filter((run) => run.commit === tip && run.event === 'push')).toHaveLength(1);
    // Again: the target contains it, and nothing runs.
    const runs = (await app.runs()).length;
    expect(await app.land('login')).toMatchObject({ status: 'already-landed', run: null });
    expect(await app.runs()).toHaveLength(runs);
  });

  it('is not tested again: its push run takes over what is defined alike, with logs and artifacts', async () => {
    const stages =
      hostStage(
        'test',
        'echo tested by $GANTRY_EVENT; echo made > out.txt',
        ', artifacts: { out: out.txt }',
      ) + hostStage('after', 'cat out.txt', `, needs: [test], if: 'event == "push"'`);
    const app = await project('taken', [], { '.gantry.yml': pipelineOf(stages) });
    await app.branch('login', { 'login.txt': 'new' });
    const landed = await app.land('login');
    const { run } = await app.ended(landed.landedAs ?? '', 'push');
    const shown = (await app.up.json(['show', run])) as Shown;
    expect(shown.stages.map(({ status, attempts }) => [status, attempts.at(-1)?.takenFrom])).toEqual([
      ['succeeded', landed.run],
      ['succeeded', null],
    ]);
    expect(shown.artifacts.map(({ stage, name }) => [stage, name])).toEqual([['test', 'out']]);
    const log = async (stage: string): Promise<string> =>
      (await app.up.gantry(['logs', run, stage, '1', '--raw'])).stdout;
    expect(await log('test')).toBe('tested by gate\n');
    expect(await log('after')).toBe('made\n');
    expect((await app.up.gantry(['show', run])).stdout).toContain('taken over from run');
  });

  it('is not integrated when it fails, and the one who queued it is told with the end of the log', async () => {
    const app = await project('red');
    await app.branch('broken', { 'check.sh': 'echo the answer is wrong; exit 3\n' });
    const left = await app.land('broken');
    expect(left).toMatchObject({ status: 'ejected' });
    expect(left.reason).toContain('stage test failed');
    expect(await app.tip('main')).toBe(app.first);
    const mail = await mailTo(ada.mail, 'red main: broken was not integrated');
    expect(mail.text).toContain('the answer is wrong');
    expect(mail.text).toContain('gantry land broken');
  });

  it('is tested merged: two that are green alone and broken together do not both land', async () => {
    const app = await project('together', [], { 'check.sh': '[ ! -e a ] || [ ! -e b ]\n' });
    await app.branch('one', { a: '1' });
    await app.branch('other', { b: '1' });
    const [one, other] = await Promise.all([app.queue('one'), app.queue('other')]);
    const ends = [await app.left(one.entry), await app.left(other.entry)].map(({ status }) => status);
    expect(ends.toSorted()).toEqual(['ejected', 'landed']);
  });

  it('lands as one commit by squash, and names all who wrote it', async () => {
    const app = await project('squash', ['--gate-method', 'squash']);
    await app.branch('feature', { f: '1' }, { message: 'Begin the feature' });
    const { clone } = app.remote;
    await app.remote.commit(
      { f: '2' },
      { message: 'End the feature', author: { name: 'Bob', mail: 'bob@example.org' } },
    );
    await app.remote.push('HEAD:feature');
    const landed = await app.land('feature');
    const tip = await app.tip('main');
    expect(tip).toBe(landed.landedAs);
    expect(await app.show(tip, '%P')).toBe(app.first);
    expect(await app.show(tip, '%an %cn')).toBe('Bob Gantry');
    const message = await app.show(tip, '%B');
    expect(message).toContain('End the feature');
    expect(message).toContain('* Begin the feature');
    expect(message).toContain(`Co-authored-by: ${ada.name} <${ada.mail}>\nGantry-Run: ${landed.run ?? ''}`);
    expect(await app.remote.git(clone, 'status', '--porcelain')).toBe('');
  });

  it('is the commit that the remote has, and `land` says where the local one differs, or pushes it', async () => {
    const app = await project('local');
    const pushed = await app.branch('mine', { m: '1' });
    const local = await app.remote.commit({ m: '2' });
    await up.json(['gate', 'pause', app.name]);
    const warned = await app.gantry(['land']);
    expect(warned.stderr).toContain(
      `your mine is at ${local.slice(0, 12)}, the remote’s at ${pushed.slice(0, 12)}`,
    );
    expect(warned.stderr).toContain('stands still');
    const sent = (await app.gantry(['land', '--push', '--json'])).stdout;
    expect(JSON.parse(sent)).toMatchObject({ commit: local, place: 1 });
    // The branch goes on afterwards: what was queued lands.
    await app.remote.commit({ m: '3' });
    await app.remote.push('HEAD:mine');
    await up.json(['projects', 'poll', app.name]);
    await up.json(['gate', 'resume', app.name]);
    const landed = await eventually(
      'the landing of mine',
      async () => (await app.gate()).ended.find(({ status }) => status === 'landed'),
      60_000,
    );
    expect(await app.show(landed.landedAs ?? '', '%P')).toContain(local);
    expect((await app.gate()).ended.map(({ status }) => status)).toEqual(['landed', 'ejected']);
  });
});

describe('A change leaves the queue', () => {
  it('when it conflicts with the target, with the files named', async () => {
    const app = await project('conflict', [], { shared: 'base\n' });
    await app.branch('late', { shared: 'theirs\n' });
    await app.pushPast({ shared: 'ours\n' });
    const left = await app.land('late');
    expect(left).toMatchObject({ status: 'ejected', run: null });
    expect(left.reason).toContain('conflicts with the target in shared');
    await mailTo(ada.mail, 'conflict main: late was not integrated', '  shared');
  });

  it('when its branch is force-pushed or deleted: its run is canceled, and the new tip queues only when asked', async () => {
    const app = await project('moved', ['--gate-depth', '2']);
    const never = join(root, 'never');
    await app.branch('forced', { 'check.sh': waitingFor(never) });
    await app.branch('deleted', { 'check.sh': waitingFor(never), d: '1' });
    await app.queue('forced');
    await eventually(
      'the run of forced',
      async () => (await app.entry('forced'))?.status === 'testing',
      30_000,
    );
    const run = (await app.entry('forced'))?.run ?? '';
    await app.queue('deleted');
    await app.branch('forced', { other: '1' });
    const forced = await app.leftOf('forced');
    expect(forced).toMatchObject({ status: 'ejected' });
    expect(forced.reason).toContain('force-pushed');
    await eventually(
      'the end of its run',
      async () => (await app.runs()).some((row) => row.run === run && row.status === 'canceled'),
      30_000,
    );
    await app.remote.push('--delete', 'deleted');
    expect((await app.leftOf('deleted')).reason).toContain('was deleted');
    expect((await app.gate()).entries).toEqual([]);
    expect(await app.land('forced')).toMatchObject({ status: 'landed' });
  });

  it('when a hook of the server refuses its content, with the server’s words', async () => {
    const app = await project('hooked');
    await app.branch('huge', { huge: '1' });
    await hook(app, 'pre-receive', 'echo "no file may be called huge" >&2; exit 1');
    const left = await app.land('huge');
    expect(left).toMatchObject({ status: 'ejected' });
    expect(left.reason).toContain('no file may be called huge');
    expect(await app.tip('main')).toBe(app.first);
  });

  it('when what the project requires is missing, skipped, or may fail, or its pipeline is invalid', async () => {
    const app = await project('lenient', ['--gate-depth', '4']);
    const lenient: readonly (readonly [string, string, string])[] = [
      [
        'absent',
        pipelineOf(hostStage('other', 'true')),
        'requires stage test, which its pipeline does not have',
      ],
      [
        'skipped',
        pipelineOf(hostStage('other', 'true') + hostStage('test', 'true', ', if: "false"')),
        'ended as skipped',
      ],
      [
        'allowed',
        pipelineOf(hostStage('other', 'true') + hostStage('test', 'false', ', allow-failure: true')),
        'must not have `allow-failure`',
      ],
      ['invalid', 'stages:\n  test: { stebs: [make] }\n', 'stebs'],
    ];
    for (const [name, file] of lenient) await app.branch(name, { '.gantry.yml': file });
    for (const [name] of lenient) await app.queue(name);
    for (const [name, , words] of lenient) expect((await app.leftOf(name)).reason).toContain(words);
    expect(await app.tip('main')).toBe(app.first);
  });

  it('when a person ejects it, who says why', async () => {
    const app = await project('asked');
    await app.branch('early', { e: '1' });
    await up.json(['gate', 'pause', app.name, '--reason', 'freeze']);
    await app.queue('early');
    expect((await app.entry('early'))?.waitingFor.join()).toContain('freeze');
    await up.json(['gate', 'eject', 'early', '--project', app.name, '--reason', 'waits for the schema']);
    expect((await app.leftOf('early')).reason).toContain('waits for the schema');
    await mailTo(ada.mail, 'asked main: early', 'waits for the schema');
    const listed = (await up.json(['gate', 'ls'])) as {
      readonly gates: readonly { readonly target: string }[];
    };
    expect(listed.gates.length).toBeGreaterThan(0);
  });
});

describe('Several at once', () => {
  it('land in the order they were queued, tested on top of each other', async () => {
    const app = await project('deep', ['--gate-depth', '3']);
    const go = join(root, 'deep-go');
    for (const name of ['a', 'b', 'c']) await app.branch(name, { [name]: '1', 'check.sh': waitingFor(go) });
    for (const name of ['a', 'b', 'c']) await app.queue(name);
    await eventually(
      'three runs at once',
      async () => (await app.gate()).entries.filter(({ status }) => status === 'testing').length === 3,
      60_000,
    );
    const [a, b, c] = (await app.gate()).entries.map(({ candidate }) => candidate);
    await writeFile(go, '');
    for (const name of ['a', 'b', 'c']) expect(await app.leftOf(name)).toMatchObject({ status: 'landed' });
    expect(await app.tip('main')).toBe(c);
    const line = await app.remote.git(app.remote.directory, 'log', '--first-parent', '--format=%H', 'main');
    expect(line.split('\n')).toEqual([c, b, a, app.first]);
  });

  it('are tested again without one that failed, and one that conflicts with those ahead waits for their end', async () => {
    const app = await project('again', ['--gate-depth', '3'], { shared: '1\n' });
    const go = join(root, 'again-go');
    await app.branch('bad', { shared: 'bad\n', 'check.sh': waitingFor(go, 'exit 1') });
    await app.branch('good', { 'good.txt': '1' });
    await app.branch('clash', { shared: 'clash\n' });
    for (const name of ['bad', 'good', 'clash']) await app.queue(name);
    await eventually(
      'the conflict with the one ahead',
      async () => (await app.entry('clash'))?.status === 'conflict',
      60_000,
    );
    const first = (await app.entry('good'))?.candidate;
    await writeFile(go, '');
    expect(await app.leftOf('bad')).toMatchObject({ status: 'ejected' });
    const good = await app.leftOf('good');
    expect(good).toMatchObject({ status: 'landed' });
    expect(good.landedAs).not.toBe(first);
    expect(await app.leftOf('clash')).toMatchObject({ status: 'landed' });
    expect(await app.show('main', '%an')).toBe('Gantry');
  });
});

describe('A push to refs/for/<target>/<name>', () => {
  it('queues the commit for the longest target there is, and the gate deletes the ref at the end', async () => {
    const app = await project('proposed');
    await app.remote.push(`${app.first}:refs/heads/release/1.0`);
    await app.branch('fix', { 'fix.txt': '1' }, { to: 'refs/for/release/1.0/fix' });
    await app.branch('bad', { 'check.sh': 'exit 1\n' }, { to: 'refs/for/main/bad' });
    const bad = await app.leftOf('refs/for/main/bad');
    expect(bad).toMatchObject({ status: 'ejected' });
    await eventually(
      'the landing on release/1.0',
      async () => (await app.tip('release/1.0')) !== app.first,
      60_000,
    );
    expect(await app.tip('main')).toBe(app.first);
    await eventually(
      'both refs gone',
      async () =>
        (await app.tip('refs/for/main/bad')) === '' && (await app.tip('refs/for/release/1.0/fix')) === '',
      30_000,
    );
    // Who wrote it is told: a push through a file names nobody.
    await mailTo(
      ada.mail,
      'proposed main: refs/for/main/bad was not integrated',
      'git push origin HEAD:refs/for/main/bad',
    );
    // Pushed again, the same commit is a new proposal.
    await app.remote.push('bad:refs/for/main/bad');
    await eventually(
      'the second end',
      async () =>
        (await app.gate()).ended.filter(({ source }) => source === 'refs/for/main/bad').length === 2,
      60_000,
    );
  });
});

describe('The target', () => {
  it('that is pushed to past the gate: the queue is built again on it, people are told, and in the end who it is', async () => {
    const app = await project('bypassed');
    const go = join(root, 'bypassed-go');
    await app.branch('slow', { 'check.sh': waitingFor(go) });
    await app.queue('slow');
    await eventually('its run', async () => (await app.entry('slow'))?.status === 'testing', 60_000);
    for (let times = 1; times <= 3; times += 1) {
      const past = await app.pushPast({ past: String(times) });
      await eventually(
        `rebuild ${times}`,
        async () => {
          const entry = await app.entry('slow');
          return entry !== undefined && entry.rebuilds >= times && (await app.gate()).tip === past;
        },
        60_000,
      );
      if (times === 1) {
        await app.ended(past, 'push');
        await mailTo(maintainer, 'bypassed main: pushed past the gate', ada.name);
      }
    }
    expect((await app.gate()).notes.join()).toContain(ada.name);
    await writeFile(go, '');
    expect(await app.leftOf('slow')).toMatchObject({ status: 'landed' });
  });

  it('that is rewound or deleted: the gate stands still, and never makes it again', async () => {
    const app = await project('rewound');
    await app.branch('kept', { k: '1' });
    const second = await app.pushPast({ p: '1' });
    await up.json(['gate', 'pause', app.name]);
    await app.queue('kept');
    await up.json(['gate', 'resume', app.name]);
    expect(await app.leftOf('kept')).toMatchObject({ status: 'landed' });
    const go = join(root, 'rewound-go');
    await app.branch('next', { 'check.sh': waitingFor(go), n: '1' });
    await app.queue('next');
    await eventually('its run', async () => (await app.entry('next'))?.status === 'testing', 60_000);
    await app.remote.push(`+${second}:main`);
    const paused = await eventually('the pause', async () => (await app.gate()).paused ?? undefined, 60_000);
    expect(paused.reason).toContain('rewound');
    await mailTo(maintainer, 'rewound main: the gate stands still', 'rewound');
    await app.remote.git(app.remote.directory, 'update-ref', '-d', 'refs/heads/main');
    await up.json(['gate', 'resume', app.name]);
    await eventually(
      'the pause for the deletion',
      async () => (await app.gate()).paused?.reason.includes('does not exist'),
      60_000,
    );
    await writeFile(go, '');
    expect(await app.tip('main')).toBe('');
    await app.remote.push(`${second}:refs/heads/main`);
    await up.json(['gate', 'resume', app.name]);
    expect(await app.leftOf('next')).toMatchObject({ status: 'landed' });
  });
});

describe('A protected target', () => {
  it('is refused to everybody but the gate; while the gate is refused it stands still and keeps its queue', async () => {
    const app = await project('guarded', ['--gate-target', 'main']);
    const doctor = async (): Promise<string> => (await up.gantry(['doctor'])).stdout;
    expect(await doctor()).toContain('can be pushed to past the gate');
    await up.json(['gate', 'protect', app.name, '--install']);
    expect(await doctor()).toContain('only the gate can push to refs/heads/main');
    await expect(app.pushPast({ p: '1' })).rejects.toThrow(/moved by the integration gate alone/);
    await app.branch('fine', { f: '1' });
    expect(await app.land('fine')).toMatchObject({ status: 'landed' });
    // A hook that does not know the gate.
    const text = (await up.gantry(['gate', 'protect', app.name])).stdout;
    const digest = /[0-9a-f]{64}/.exec(text)?.[0] ?? '';
    await writeFile(join(app.remote.directory, 'hooks', 'update'), text.replace(digest, '0'.repeat(64)), {
      mode: 0o755,
    });
    await app.branch('later', { l: '1' });
    await app.queue('later');
    const paused = await eventually('the pause', async () => (await app.gate()).paused ?? undefined, 60_000);
    expect(paused.reason).toContain('the server refuses the gate');
    expect((await app.gate()).entries.map(({ source }) => source)).toEqual(['later']);
    await mailTo(maintainer, 'guarded main: the gate stands still');
    await up.json(['gate', 'protect', app.name, '--install']);
    await up.json(['gate', 'resume', app.name]);
    expect(await app.leftOf('later')).toMatchObject({ status: 'landed' });
  });
});

describe('A run of the gate', () => {
  it('that fails by our fault ejects nobody: the gate stands still', async () => {
    const app = await project('ours', ['--gate-retries', '0']);
    const once = join(root, 'ours-mended');
    // Kills what runs its steps: the box is broken, whoever wrote the change.
    const killBox =
      'p=$$; while q=$(ps -o ppid= -p $p | tr -d " ") && ! grep -q agent/main.js /proc/$q/cmdline; do p=$q; done; kill -9 $p; sleep 60';
    await app.branch('unlucky', {
      'check.sh': `[ -e '${once}' ] || [ $GANTRY_EVENT != gate ] || { ${killBox}; }\n`,
    });
    await app.queue('unlucky');
    const paused = await eventually('the pause', async () => (await app.gate()).paused ?? undefined, 90_000);
    expect(paused.reason).toContain('Gantry');
    expect((await app.gate()).entries.map(({ source }) => source)).toEqual(['unlucky']);
    await writeFile(once, '');
    await up.json(['gate', 'resume', app.name]);
    expect(await app.leftOf('unlucky')).toMatchObject({ status: 'landed' });
  });

  it('that takes longer than the limit is the change’s fault, one that no agent takes is not', async () => {
    const limit = ['--gate-hang-limit', '1m'];
    const slow = await project('slow', limit, { 'check.sh': waitingFor(join(root, 'slow-never')) });
    const nobody = await project('nobody', limit, {
      '.gantry.yml': gatePipeline.replace('executor=host', 'gpu'),
    });
    await slow.branch('hangs', { h: '1' });
    await nobody.branch('waits', { w: '1' });
    await Promise.all([slow.queue('hangs'), nobody.queue('waits')]);
    expect((await slow.leftOf('hangs', 120_000)).reason).toContain('hung');
    const paused = await eventually(
      'the pause',
      async () => (await nobody.gate()).paused ?? undefined,
      30_000,
    );
    expect(paused.reason).toContain('no agent takes');
    expect((await nobody.gate()).entries.map(({ source }) => source)).toEqual(['waits']);
  });

  it('gets no secret of the project, unless the project says so', async () => {
    const app = await project('secretive', [], {
      '.gantry.yml': gatePipeline.replace('steps:', 'secrets: [DEPLOY_KEY]\n    steps:'),
    });
    await app.setSecret('DEPLOY_KEY', 'hunter2hunter2');
    await app.branch('curious', { 'check.sh': 'test -n "$DEPLOY_KEY"\n' });
    const left = await app.land('curious');
    expect(left).toMatchObject({ status: 'ejected' });
    expect(left.reason).toContain('DEPLOY_KEY');
    await up.json(['projects', 'set', app.name, '--gate-secrets']);
    expect(await app.land('curious')).toMatchObject({ status: 'landed' });
  });
});

describe('A coordinator that is killed in the middle of a landing', () => {
  const killer = async (): Promise<string> => {
    const pid = (await up.daemons()).find(({ name }) => name === 'coordinator')?.pid;
    return `kill -9 ${pid ?? 0}`;
  };
  const back = (app: GateProject): Promise<unknown> =>
    eventually(
      'the coordinator',
      () =>
        app.gate().then(
          () => true,
          () => false,
        ),
      60_000,
    );

  async function landsOnce(app: GateProject, branch: string): Promise<void> {
    expect(await app.leftOf(branch, 90_000)).toMatchObject({ status: 'landed' });
    const merges = await app.remote.git(app.remote.directory, 'log', '--format=%H %s', 'main');
    expect(merges.split('\n').filter((line) => line.includes(`Merge ${branch} into main`))).toHaveLength(1);
    const tip = await app.tip('main');
    await app.ended(tip, 'push');
    expect((await app.runs()).filter((run) => run.commit === tip && run.event === 'push')).toHaveLength(1);
    expect((await app.gate()).ended.filter(({ source }) => source === branch)).toHaveLength(1);
  }

  it('while its run goes on: it lands once', async () => {
    const app = await project('killed-testing');
    const begun = join(root, 'killed-begun');
    const go = join(root, 'killed-go');
    await app.branch('steady', { 'check.sh': `: > '${begun}'; ${waitingFor(go)}` });
    await app.queue('steady');
    await eventually(
      'the step',
      () =>
        access(begun).then(
          () => true,
          () => false,
        ),
      60_000,
    );
    await runProgram('sh', ['-c', await killer()]);
    await writeFile(go, '');
    await back(app);
    await landsOnce(app, 'steady');
  });

  it('before the push arrived: it is pushed again, and lands once', async () => {
    const app = await project('killed-before');
    await app.branch('steady', { s: '1' });
    const flag = join(root, 'killed-before-once');
    await writeFile(flag, '');
    await hook(app, 'pre-receive', `if [ -e '${flag}' ]; then rm '${flag}'; ${await killer()}; exit 1; fi`);
    await app.queue('steady');
    await eventually(
      'the kill',
      () =>
        access(flag).then(
          () => false,
          () => true,
        ),
      60_000,
    );
    expect(await app.tip('main')).toBe(app.first);
    await back(app);
    await landsOnce(app, 'steady');
  });

  it('after the push, before its record: it has landed once', async () => {
    const app = await project('killed-after');
    await app.branch('steady', { s: '1' });
    const flag = join(root, 'killed-after-once');
    await writeFile(flag, '');
    await hook(app, 'post-receive', `if [ -e '${flag}' ]; then rm '${flag}'; ${await killer()}; fi`);
    await app.queue('steady');
    await eventually(
      'the kill',
      () =>
        access(flag).then(
          () => false,
          () => true,
        ),
      60_000,
    );
    const pushed = await app.tip('main');
    expect(pushed).not.toBe(app.first);
    await back(app);
    await landsOnce(app, 'steady');
    expect(await app.tip('main')).toBe(pushed);
  });
});
