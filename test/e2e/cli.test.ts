import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.js';
import {
  agentMain,
  cleanEnv,
  commitAll,
  gantryMain,
  makeTree,
  startUp,
  type Up,
} from '../support/installation.js';

/** The commands as scripts use them, against one installation with the host executor. */
const pipeline = `stages:
  build:
    steps:
      - name: compile
        run: |
          mkdir -p out/deep
          printf one > out/one
          printf two > out/deep/two
          printf 'exit 0' > out/run.sh
          chmod 755 out/run.sh
          printf '\\033[31mred\\033[0m and \\033[2Jclean\\n'
    artifacts: { all: "out/**", single: out/one }
  test:
    needs: [build]
    matrix: { v: ["1", "2"] }
    steps:
      - name: first
        run: echo "value $v"
        env: { v: "\${{ matrix.v }}" }
      - name: second
        run: echo out; echo err >&2; exit "\${CODE:-0}"
`;

interface Shown {
  readonly run: string;
  readonly status: string;
  readonly retryOf: string | null;
  readonly stages: readonly Readonly<Record<string, unknown>>[];
  readonly artifacts: readonly Readonly<Record<string, unknown>>[];
}

let up: Up;
let dir: string;
let run: string;

const lines = (text: string): Record<string, unknown>[] =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
const submit = async (...flags: string[]): Promise<string> =>
  ((await up.json(['submit', dir, ...flags])) as { run: string }).run;

beforeAll(async () => {
  dir = await makeTree({ '.gantry.yml': pipeline });
  up = await startUp(['--executor', 'host', '--ignore-image', '--slots', '2']);
  run = await submit();
  const waited = await up.gantry(['wait', run]);
  expect(waited.code, waited.stdout + waited.stderr).toBe(0);
});
afterAll(async () => {
  await up.stop();
  await rm(dir, { recursive: true, force: true });
});

describe('a run', () => {
  it('is shown whole, with the fields that scripts rely on', async () => {
    const shown = (await up.json(['show', run.slice(0, 8)])) as Shown;
    const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/) as string;
    expect(shown).toMatchObject({
      run,
      status: 'succeeded',
      project: dir,
      branch: 'main',
      submittedAt: time,
      startedAt: time,
      finishedAt: time,
    });
    expect(shown.stages.map((stage) => stage['title'])).toEqual(['build', 'test (v=1)', 'test (v=2)']);
    expect(shown.stages[1]).toMatchObject({
      number: 2,
      name: 'test',
      status: 'succeeded',
      waitingFor: [],
      attempts: [
        { attempt: 1, status: 'succeeded', reason: null, leasedAt: time, startedAt: time, finishedAt: time },
      ],
      steps: [
        { number: 1, name: 'first', status: 'succeeded', exitCode: 0, startedAt: time, finishedAt: time },
        { number: 2, name: 'second', status: 'succeeded', exitCode: 0 },
      ],
    });
    expect(shown.artifacts[0]).toMatchObject({ stage: 'build', name: 'all' });
  });

  it('is the latest of this repository where RUN is left out', async () => {
    const shown = (await up.json(['show'], { cwd: dir })) as Shown;
    expect(shown.run).toBe(run);
    const elsewhere = await up.gantry(['show'], { cwd: tmpdir() });
    expect(elsewhere.code).toBe(4);
  });

  it('is followed afterwards as it was, and listed', async () => {
    const watched = await up.gantry(['watch', run]);
    expect(watched.code).toBe(0);
    for (const said of ['build', '✓ compile', 'test (v=2)', 'run succeeded', 'gantry artifacts get']) {
      expect(watched.stdout).toContain(said);
    }
    const listed = (await up.json(['runs', '--project', dir, '--status', 'succeeded', '--limit', '1'])) as {
      runs: Shown[];
    };
    expect(listed.runs.map((one) => one.run)).toEqual([run]);
  });

  it('has logs: exact bytes, text without control sequences, JSON lines', async () => {
    const raw = await up.gantry(['logs', run, 'build', 'compile', '--raw']);
    expect(raw.stdout).toBe('\u001b[31mred\u001b[0m and \u001b[2Jclean\n');
    expect((await up.gantry(['logs', run, '1', '1'])).stdout).toBe('red and clean\n');
    const one = lines((await up.gantry(['logs', run, 'test', '--cell', 'v=2', '--json'])).stdout);
    expect(one.map(({ stage, step, text }) => [stage, step, text])).toEqual([
      ['test (v=2)', 1, 'value 2'],
      ['test (v=2)', 2, 'out'],
      ['test (v=2)', 2, 'err'],
    ]);
    const unknown = await up.gantry(['logs', run, 'nope']);
    expect(unknown.code).toBe(4);
    expect(unknown.stderr).toContain('build, test (v=1), test (v=2)');
  });

  it('has artifacts: listed, fetched whole, by name, by path', async () => {
    const listed = (await up.json(['artifacts', 'ls', run])) as {
      artifacts: { name: string; files: { path: string }[] }[];
    };
    expect(listed.artifacts.map((one) => [one.name, one.files.length])).toEqual([
      ['all', 3],
      ['single', 1],
    ]);
    const out = await mkdtemp(join(tmpdir(), 'gantry-out-'));
    try {
      const all = await up.gantry(['artifacts', 'get', run, '-o', out]);
      expect(all.code, all.stderr).toBe(0);
      expect(await readFile(join(out, 'out/deep/two'), 'utf8')).toBe('two');
      expect((await stat(join(out, 'out/run.sh'))).mode & 0o777).toBe(0o755);
      const one = (await up.json([
        'artifacts',
        'get',
        run,
        'build',
        'all',
        'out/one',
        '-o',
        join(out, 'sub'),
      ])) as { files: unknown[] };
      expect(one.files).toMatchObject([{ path: 'out/one', size: 3 }]);
      expect((await up.gantry(['artifacts', 'get', run, 'build', 'nope', '-o', out])).code).toBe(4);
    } finally {
      await rm(out, { recursive: true, force: true });
    }
  });

  it('fails with its own exit code, shows the end of the log, and can be retried', async () => {
    const failed = await up.gantry(['submit', dir, '--follow', '--env', 'CODE=3', '--stage', 'test']);
    expect(failed.code, failed.stderr).toBe(1);
    expect(failed.stdout).toContain('exit code 3');
    expect(failed.stdout).toContain('│ err');
    expect(failed.stdout).toMatch(/gantry logs \S+ test --cell v=\d/);
    const [id = ''] = /run ([a-z2-7]{8})/.exec(failed.stdout)?.slice(1) ?? [];
    const retried = await up.gantry(['retry', id, '--follow', '--json']);
    expect(retried.code).toBe(1);
    const again = (await up.json(['show', String(lines(retried.stdout)[0]?.['run'])])) as Shown;
    expect(again.retryOf).toMatch(new RegExp(`^${id}`));
    const ended = await up.gantry(['cancel', id]);
    expect(ended.code).toBe(5);
    expect(ended.stderr).toContain('has ended already');
  });

  it('goes on when who follows it is interrupted, and can be waited for and canceled', async () => {
    const slow = await makeTree({ '.gantry.yml': 'stages:\n  s:\n    steps: [sleep 60]\n' });
    try {
      const child = spawn(process.execPath, [gantryMain, 'submit', slow, '--follow'], {
        env: cleanEnv(up.env),
      });
      const ended = once(child, 'close');
      let printed = '';
      child.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()));
      child.stderr.on('data', (chunk: Buffer) => (printed += chunk.toString()));
      await eventually('the step runs', () => printed.includes('▸ sleep 60'), 60_000);
      child.kill('SIGINT');
      expect(await ended).toEqual([130, null]);
      expect(printed).toContain('the run goes on');
      const id = /run ([a-z2-7]{8})/.exec(printed)?.[1] ?? '';
      expect(((await up.json(['show', id])) as Shown).status).toBe('running');
      const impatient = await up.gantry(['wait', id, '--timeout', '0.2']);
      expect(impatient.code).toBe(5);
      expect((await up.gantry(['cancel', id, 's'])).code).toBe(0);
      expect((await up.gantry(['wait', id])).code).toBe(6);
    } finally {
      await rm(slow, { recursive: true, force: true });
    }
  });

  it('says why it waits, and runs once an agent joins with a token and the label', async () => {
    const gpu = await makeTree({
      '.gantry.yml': 'stages:\n  s:\n    agents: [gpu]\n    steps: [echo fast]\n',
    });
    const data = await mkdtemp(join(tmpdir(), 'gantry-agent-'));
    try {
      const { run: id } = (await up.json(['submit', gpu])) as { run: string };
      await eventually('it waits for the label', async () =>
        (await up.gantry(['why', id])).stdout.includes('gpu'),
      );
      const { token, command } = (await up.json(['agents', 'token', '--label', 'gpu'])) as {
        token: string;
        command: string;
      };
      expect(command).toBe(`GANTRY_TOKEN=${token} gantry-agent --coordinator ${up.grpc} --label gpu`);
      const agent = spawn(
        process.execPath,
        [
          agentMain,
          '--coordinator',
          up.grpc,
          '--label',
          'gpu',
          '--data',
          data,
          '--name',
          'gpu-1',
          '--executor',
          'host',
        ],
        {
          env: cleanEnv({ ...up.env, GANTRY_TOKEN: token }),
          stdio: 'ignore',
        },
      );
      const gone = once(agent, 'exit');
      try {
        expect((await up.gantry(['wait', id])).code).toBe(0);
        const drained = await up.gantry(['agents', 'drain', 'gpu-1']);
        expect(drained.code, drained.stderr).toBe(0);
        const { agents } = (await up.json(['agents', 'ls'])) as {
          agents: { name: string; status: string }[];
        };
        expect(agents.find((one) => one.name === 'gpu-1')?.status).toBe('draining');
        expect((await up.gantry(['agents', 'drain', 'nobody'])).code).toBe(4);
      } finally {
        agent.kill('SIGTERM');
        agent.kill('SIGTERM');
        await gone;
      }
    } finally {
      await rm(gpu, { recursive: true, force: true });
      await rm(data, { recursive: true, force: true });
    }
  });
});

describe('without a coordinator', () => {
  const nowhere = { GANTRY_COORDINATOR: '127.0.0.1:9' };

  it('init writes a pipeline that is valid, once', async () => {
    const fresh = await makeTree({ 'setup.py': 'pass\n' }, { git: false });
    try {
      const made = await up.gantry(['init', fresh, '--json'], { env: nowhere });
      expect(made.code, made.stderr).toBe(0);
      expect(JSON.parse(made.stdout)).toEqual({ path: join(fresh, '.gantry.yml') });
      expect((await up.gantry(['validate', fresh], { env: nowhere })).code).toBe(0);
      const again = await up.gantry(['init', fresh], { env: nowhere });
      expect(again.code).toBe(5);
      expect(again.stderr).toContain('--force');
    } finally {
      await rm(fresh, { recursive: true, force: true });
    }
  });

  it('a wrong pipeline is said before anybody is asked', async () => {
    const wrong = await makeTree({ '.gantry.yml': 'stages:\n  a:\n    stpes: [x]\n' });
    try {
      const validated = await up.gantry(['validate', wrong, '--json'], { env: nowhere });
      expect(validated.code).toBe(2);
      expect(JSON.parse(validated.stdout)).toMatchObject({ valid: false, stages: [] });
      const submitted = await up.gantry(['submit', wrong], { env: nowhere });
      expect(submitted.code).toBe(2);
      expect(submitted.stderr).toContain('stpes');
      await writeFile(join(wrong, '.gantry.yml'), pipeline);
      await commitAll(wrong, 'right');
      const right = await up.gantry(['submit', wrong], { env: nowhere });
      expect(right.code).toBe(3);
      expect(right.stderr).toContain('127.0.0.1:9');
      expect((await up.gantry(['submit', wrong, '--stage', 'nope'], { env: nowhere })).code).toBe(2);
    } finally {
      await rm(wrong, { recursive: true, force: true });
    }
  });

  it('validate draws the graph and prints the schema', async () => {
    const valid = await up.gantry(['validate', dir], { env: nowhere });
    expect(valid.stdout).toContain('3 stages');
    const schema = await up.gantry(['validate', '--schema'], { env: nowhere });
    expect(JSON.parse(schema.stdout)).toHaveProperty('$schema');
  });

  it('doctor says what it sees, and that no coordinator answers is no failure of the machine', async () => {
    const { checks } = JSON.parse((await up.gantry(['doctor', '--json'], { env: nowhere })).stdout) as {
      checks: { name: string; level: string; remedy: string }[];
    };
    for (const name of ['node', 'git', 'nats-server', 'docker', 'disk', 'limits', 'coordinator']) {
      expect(checks.map((check) => check.name)).toContain(name);
    }
    expect(checks.filter((check) => check.level !== 'ok' && check.remedy === '')).toEqual([]);
    expect(checks.find((check) => check.name === 'coordinator')?.level).toBe('warning');
    const here = JSON.parse((await up.gantry(['doctor', '--json'])).stdout) as {
      checks: { name: string; level: string }[];
    };
    expect(here.checks.find((check) => check.name === 'coordinator: storage')?.level).toBe('ok');
  });
});
