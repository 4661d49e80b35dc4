import { mkdtemp, rm, writeFile, symlink, mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ensureTestImage } from '../support/images.js';
import {
  commitAll,
  git,
  makeTree,
  runProgram,
  startUp,
  type Finished,
  type Up,
} from '../support/installation.js';

/**
 * What bad input gets: a clear message with the failure's kind, an exit code of the table, and nothing left running.
 * All cases share one `up`.
 */
let up: Up;
const dirs: string[] = [];

async function tree(
  files: Readonly<Record<string, string>>,
  options: { git?: boolean } = {},
): Promise<string> {
  const dir = await makeTree(files, options);
  dirs.push(dir);
  return dir;
}

const said = (finished: Finished): string => finished.stdout + finished.stderr;

const follow = (dir: string, ...flags: readonly string[]): Promise<Finished> =>
  up.gantry(['submit', dir, '--follow', ...flags], { timeoutMs: 120_000 });

/** Runs a pipeline of one stage with these steps and gives what `--follow` printed. */
async function stage(yaml: string, files: Readonly<Record<string, string>> = {}): Promise<Finished> {
  return follow(await tree({ '.gantry.yml': yaml, ...files }));
}

const steps = (...commands: readonly string[]): string =>
  `image: gantry-test/busybox\nstages:\n  only:\n    steps:\n${commands.map((one) => `      - ${JSON.stringify(one)}\n`).join('')}`;

const runOf = (finished: Finished): string => /run ([a-z2-7]{8,16})/.exec(said(finished))?.[1] ?? 'no-run';

async function rawLog(run: string, step: number): Promise<Buffer> {
  // As bytes: what a step wrote need not be text.
  const shell = await runProgram(
    'sh',
    ['-c', `"$NODE" "$MAIN" logs "$RUN" only ${step} --raw | base64 -w0`],
    {
      env: {
        ...up.env,
        NODE: process.execPath,
        MAIN: (await import('../support/installation.js')).gantryMain,
        RUN: run,
      },
    },
  );
  return Buffer.from(shell.stdout, 'base64');
}

beforeAll(async () => {
  for (const image of ['busybox', 'bash', 'user1000', 'entrypoint', 'python'] as const)
    await ensureTestImage(image);
  up = await startUp(['--agents', '1', '--slots', '2', '--repo-root', tmpdir()]);
});
afterAll(async () => {
  // Of this agent: others may use the same daemon.
  const { agents } = (await up.json(['agents', 'ls'])) as {
    readonly agents: readonly { readonly id: string }[];
  };
  const filters = agents.flatMap(({ id }) => ['--filter', `label=gantry.agent=${id}`]);
  const left = await runProgram('docker', ['ps', '-aq', '--filter', 'label=gantry.attempt', ...filters]);
  await up.stop();
  for (const dir of dirs) await rm(dir, { recursive: true, force: true });
  expect(agents).toHaveLength(1);
  expect(left.stdout).toBe('');
});

describe('the pipeline file', () => {
  it.each<[string, Readonly<Record<string, string>>, readonly (string | RegExp)[]]>([
    ['is missing', { 'a.txt': 'x' }, ['.gantry.yml', 'gantry init']],
    ['is broken YAML', { '.gantry.yml': 'stages: [\n' }, [/\.gantry\.yml:\d+:\d+/]],
    [
      'has an unknown key',
      { '.gantry.yml': 'stages:\n  a:\n    stesp: [true]\n' },
      [/\.gantry\.yml:3:5/, 'stesp', 'steps'],
    ],
    ['has a wrong type', { '.gantry.yml': 'stages:\n  a:\n    steps: yes please\n' }, [/\.gantry\.yml:3:/]],
    [
      'has a cycle',
      {
        '.gantry.yml':
          'stages:\n  a: { needs: [b], steps: ["true"] }\n  b: { needs: [c], steps: ["true"] }\n  c: { needs: [a], steps: ["true"] }\n',
      },
      [/a.*b.*c.*a/],
    ],
    ['has a stage without steps', { '.gantry.yml': 'stages:\n  a: { image: x }\n' }, ['steps']],
  ])('%s', async (_what, files, expected) => {
    const finished = await follow(await tree(files));
    expect(finished.code, said(finished)).toBe(2);
    for (const text of expected) {
      if (typeof text === 'string') expect(said(finished)).toContain(text);
      else expect(said(finished)).toMatch(text);
    }
  });

  it('may be submitted from a directory that is no git repository', async () => {
    const dir = await tree({ '.gantry.yml': steps('ls') }, { git: false });
    const finished = await follow(dir);
    expect(finished.code, said(finished)).toBe(0);
  });

  it('may be submitted from a repository without commits', async () => {
    const dir = await tree({ '.gantry.yml': steps('ls') }, { git: false });
    await git(dir, 'init', '-q');
    const finished = await follow(dir);
    expect(finished.code, said(finished)).toBe(0);
  });
});

describe('a source', () => {
  it('whose commit does not exist', async () => {
    const dir = await tree({ '.gantry.yml': steps('true') });
    const finished = await up.gantry(['submit', '--repo', dir, '--commit', 'no-such-branch', '--follow']);
    expect([4, 5], said(finished)).toContain(finished.code);
    expect(said(finished)).toContain('no-such-branch');
  });

  it('that is outside of the roots', async () => {
    const finished = await up.gantry(['submit', '--repo', '/etc', '--commit', 'main']);
    expect([2, 5], said(finished)).toContain(finished.code);
    expect(said(finished)).toContain('--repo-root');
  });

  it('that is unreachable: git does not prompt', async () => {
    const finished = await up.gantry(['submit', '--repo', 'http://127.0.0.1:9/x.git', '--commit', 'main']);
    expect([3, 5], said(finished)).toContain(finished.code);
    expect(said(finished)).toMatch(/checkout-failed|127\.0\.0\.1:9/);
  });

  it('that has credentials in its URL', async () => {
    const finished = await up.gantry([
      'submit',
      '--repo',
      'https://user:secret@example.org/x.git',
      '--commit',
      'main',
    ]);
    expect([2, 5], said(finished)).toContain(finished.code);
    expect(said(finished)).not.toContain('secret');
  });

  it('whose branch and message are full of shell injects nothing', async () => {
    const dir = await tree({
      '.gantry.yml': steps(
        'printf "%s\\n" "$GANTRY_BRANCH"',
        'printf "%s\\n" "$GANTRY_MESSAGE"',
        'ls /pwned && exit 9; true',
      ),
    });
    const branch = 'x$(touch${IFS}/pwned)`id`;echo"\'';
    await git(dir, 'checkout', '-q', '-b', branch);
    const message = '$(touch /pwned) `touch /pwned`; "quoted" \'single\' & | > /pwned';
    await commitAll(dir, message);
    const finished = await up.gantry(['submit', '--repo', dir, '--commit', branch, '--follow']);
    expect(finished.code, said(finished)).toBe(0);
    const run = runOf(finished);
    expect((await rawLog(run, 1)).toString()).toBe(`${branch}\n`);
    expect((await rawLog(run, 2)).toString()).toBe(`${message}\n`);
  });

  it('with file names of any bytes arrives whole', async () => {
    const names = ['with space', 'quote"d', "it's", 'new\nline', 'émoji 🚀', '-dash', '$(touch x)'];
    const dir = await tree({
      '.gantry.yml': steps('find files -type f | wc -l', 'ls files'),
      ...Object.fromEntries(names.map((name) => [`files/${name}`, name])),
    });
    await writeFile(Buffer.concat([Buffer.from(`${dir}/files/latin1-`), Buffer.from([0xe9, 0xff])]), 'bytes');
    const finished = await follow(dir);
    expect(finished.code, said(finished)).toBe(0);
    // The name with a line end counts twice for wc.
    expect((await rawLog(runOf(finished), 1)).toString().trim()).toBe(String(names.length + 2));
  });
});

describe('a step', () => {
  it.each([0, 1, 2, 7, 126, 127, 128, 137, 255])('that exits with %i', async (code) => {
    const finished = await stage(steps(`exit ${code}`));
    expect(finished.code, said(finished)).toBe(code === 0 ? 0 : 1);
    if (code !== 0) expect(said(finished)).toContain(`code ${code}`);
  });

  it('ended by a signal', async () => {
    const finished = await stage(steps('kill -TERM $$'));
    expect(finished.code, said(finished)).toBe(1);
    expect(said(finished)).toContain('143');
  });

  it('that prints 50 MB on one line is kept whole', async () => {
    const finished = await stage(steps("head -c 52428800 /dev/zero | tr '\\0' x"));
    expect(finished.code, said(finished).slice(-2000)).toBe(0);
    const counted = await runProgram('sh', ['-c', `"$NODE" "$MAIN" logs "$RUN" only 1 --raw | wc -c`], {
      env: {
        ...up.env,
        NODE: process.execPath,
        MAIN: (await import('../support/installation.js')).gantryMain,
        RUN: runOf(finished),
      },
    });
    expect(counted.stdout.trim()).toBe('52428800');
  });

  it('that writes to /dev/stderr keeps what stood before', async () => {
    const finished = await stage(steps('echo one; echo two > /dev/stderr; echo three'));
    expect((await rawLog(runOf(finished), 1)).toString()).toBe('one\ntwo\nthree\n');
  });

  it('whose output is binary is kept byte for byte, and harms no terminal', async () => {
    const finished = await stage(steps("printf '\\000\\001\\377\\376\\033[2J\\033]0;title\\007end'"));
    expect(finished.code, said(finished)).toBe(0);
    const run = runOf(finished);
    expect(await rawLog(run, 1)).toEqual(
      Buffer.concat([Buffer.from([0, 1, 255, 254]), Buffer.from('\x1b[2J\x1b]0;title\x07end')]),
    );
    const shown = await up.gantry(['logs', run, 'only', '1']);
    expect(shown.stdout).not.toContain('\x1b[2J');
    expect(shown.stdout).toContain('end');
  });

  it('that forks a daemon and exits ends at once', async () => {
    const begun = performance.now();
    const finished = await stage(steps('(sleep 300; echo late) & echo done', 'echo next'));
    expect(finished.code, said(finished)).toBe(0);
    // Far below the 300 s of what it left behind; no measure of speed.
    expect(performance.now() - begun).toBeLessThan(100_000);
    expect((await rawLog(runOf(finished), 1)).toString()).toBe('done\n');
  });

  it('that ignores SIGTERM is ended by its time-out all the same', async () => {
    const finished = await stage(
      'image: gantry-test/busybox\nstages:\n  only:\n    steps:\n      - { run: "trap \'\' TERM; while true; do sleep 1; done", timeout: 1s }\n',
    );
    expect(finished.code, said(finished)).toBe(1);
    expect(said(finished)).toMatch(/timed-out|longer than 1 s/);
  });

  it('that kills everything in its box fails with its own signal', async () => {
    const finished = await stage(steps('echo before; kill -9 -1; sleep 5'));
    expect([1, 7], said(finished)).toContain(finished.code);
    expect(said(finished)).toMatch(/137|box-broken/);
  });

  it('that eats its stdin finds it empty', async () => {
    const finished = await stage(steps('cat; echo "read nothing"', 'echo next'));
    expect(finished.code, said(finished)).toBe(0);
    expect((await rawLog(runOf(finished), 1)).toString()).toBe('read nothing\n');
  });

  it('in an image with an ENTRYPOINT, with USER 1000, and without bash', async () => {
    const finished = await stage(
      `stages:
  entrypoint: { image: gantry-test/entrypoint, steps: [echo hello] }
  user: { image: gantry-test/user1000, steps: ["id -u", "touch mine && test -O mine"] }
  sh: { image: gantry-test/busybox, steps: ["! command -v bash"] }
`,
    );
    expect(finished.code, said(finished)).toBe(0);
  });
});

describe('an image', () => {
  it('that does not exist', async () => {
    const finished = await stage('image: 127.0.0.1:9/no/such:image\nstages:\n  only: { steps: ["true"] }\n');
    expect([1, 7], said(finished)).toContain(finished.code);
    expect(said(finished)).toContain('127.0.0.1:9/no/such:image');
  });
});

describe('an artifact', () => {
  it('whose pattern matches nothing', async () => {
    const finished = await stage(`${steps('true')}    artifacts: { wheel: "dist/*.whl" }\n`);
    expect(finished.code, said(finished)).toBe(1);
    expect(said(finished)).toContain('dist/*.whl');
  });

  it('that is a link out of the workspace', async () => {
    const finished = await stage(`${steps('ln -s /etc/passwd stolen')}    artifacts: { stolen: stolen }\n`);
    expect(finished.code, said(finished)).toBe(1);
    expect(said(finished)).toContain('stolen');
    expect(said(finished)).not.toContain('root:');
  });

  it('whose pattern leaves the workspace is refused before the run', async () => {
    const finished = await stage(`${steps('true')}    artifacts: { up: "../x" }\n`);
    expect(finished.code, said(finished)).toBe(2);
  });

  it('that two needed stages bring at one path', async () => {
    const finished = await stage(`image: gantry-test/busybox
stages:
  a: { steps: ["echo a > out.txt"], artifacts: { a: out.txt } }
  b: { steps: ["echo b > out.txt"], artifacts: { b: out.txt } }
  c: { needs: [a, b], steps: [cat out.txt] }
`);
    expect(finished.code, said(finished)).toBe(1);
    expect(said(finished)).toContain('out.txt');
  });
});

describe('callers', () => {
  it('with a wrong token', async () => {
    const finished = await up.gantry(['runs', '--token', 'gantry_user_abc.def']);
    expect([3, 5], said(finished)).toContain(finished.code);
    expect(said(finished)).toMatch(/token/);
  });

  it('without a coordinator', async () => {
    const finished = await up.gantry(['runs', '--coordinator', '127.0.0.1:9']);
    expect(finished.code, said(finished)).toBe(3);
    expect(said(finished)).toContain('127.0.0.1:9');
  });

  it('with a wrong flag, an unknown command, an unknown run', async () => {
    expect((await up.gantry(['submit', '--no-such-flag'])).code).toBe(2);
    expect((await up.gantry(['sumbit'])).code).toBe(2);
    const unknown = await up.gantry(['show', 'aaaaaaaaaaaaaaaa']);
    expect(unknown.code, said(unknown)).toBe(4);
  });

  it('that cancel a run: its stage ends, its dependants do not start', async () => {
    const dir = await tree({
      '.gantry.yml': `image: gantry-test/busybox
stages:
  long: { steps: [sleep 300] }
  after: { needs: [long], steps: ["true"] }
`,
    });
    const { run } = (await up.json(['submit', dir])) as { run: string };
    const { eventually } = await import('../support/eventually.js');
    await eventually(
      'it runs',
      async () => {
        const shown = (await up.json(['show', run])) as { status: string };
        return shown.status === 'running';
      },
      60_000,
    );
    expect((await up.gantry(['cancel', run])).code).toBe(0);
    const waited = await up.gantry(['wait', run]);
    expect(waited.code, said(waited)).toBe(6);
    const shown = (await up.json(['show', run])) as { stages: { status: string }[] };
    expect(shown.stages[0]?.status).toBe('canceled');
    expect(['canceled', 'skipped']).toContain(shown.stages[1]?.status);
  });
});

describe('a dirty tree', () => {
  it('with large untracked files is refused without --yes, with secret-looking ones is warned of', async () => {
    const dir = await tree({ '.gantry.yml': steps('true'), '.env': 'PASSWORD=x' }, { git: false });
    await git(dir, 'init', '-q');
    await mkdir(join(dir, 'big'));
    await runProgram('sh', ['-c', `head -c 110000000 /dev/zero > ${dir}/big/file`]);
    const refused = await follow(dir);
    expect([2, 5], said(refused)).toContain(refused.code);
    expect(said(refused)).toMatch(/--yes/);
    const sent = await follow(dir, '--yes');
    expect(sent.code, said(sent)).toBe(0);
    expect(said(sent)).toContain('.env');
  });

  it('with a link to nowhere and an empty directory is sent as it is', async () => {
    const dir = await tree({ '.gantry.yml': steps('ls -l link') });
    await symlink('nowhere', join(dir, 'link'));
    const finished = await follow(dir);
    expect(finished.code, said(finished)).toBe(0);
  });
});

describe('a directory', () => {
  it('that does not exist', async () => {
    const dir = join(await mkdtemp(join(tmpdir(), 'gantry-tree-')), 'missing');
    dirs.push(join(dir, '..'));
    const finished = await follow(dir);
    expect([2, 4], said(finished)).toContain(finished.code);
    expect(said(finished)).toContain('missing');
  });
});
