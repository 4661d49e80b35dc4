import { createHash } from 'node:crypto';
import { cp, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ensureTestImage } from '../support/images.js';
import { commitAll, git, makeTree, startUp, type Up } from '../support/installation.js';

const example = join(import.meta.dirname, '..', '..', 'deploy', 'examples', 'python-web-app');

interface Shown {
  readonly run: string;
  readonly status: string;
  readonly stages: readonly {
    readonly title: string;
    readonly status: string;
    readonly attempts: readonly { readonly agentName: string; readonly agent: string }[];
    readonly steps: readonly { readonly status: string; readonly exitCode: number | null }[];
  }[];
  readonly artifacts: readonly { readonly name: string }[];
}

let up: Up;
const trees: string[] = [];

async function tree(files: Readonly<Record<string, string>>): Promise<string> {
  const dir = await makeTree(files);
  trees.push(dir);
  return dir;
}

async function submit(dir: string, ...flags: readonly string[]): Promise<string> {
  const answer = (await up.json(['submit', dir, ...flags])) as { run: string };
  return answer.run;
}

const show = async (run: string): Promise<Shown> => (await up.json(['show', run])) as Shown;

beforeAll(async () => {
  await ensureTestImage('busybox');
  await ensureTestImage('python');
  up = await startUp(['--agents', '3', '--slots', '2']);
});
afterAll(async () => {
  await up.stop();
  for (const dir of trees) await rm(dir, { recursive: true, force: true });
});

describe('the main job', () => {
  it('runs the example from check to package, and its artifact comes back whole', async () => {
    const dir = await tree({});
    await cp(example, dir, { recursive: true });
    const pipeline = await readFile(join(dir, '.gantry.yml'), 'utf8');
    await rm(join(dir, '.gantry.yml'));
    const { writeFile } = await import('node:fs/promises');
    await writeFile(join(dir, '.gantry.yml'), pipeline.replace('gantry-demo/python', 'gantry-test/python'));
    await commitAll(dir, 'the example');
    const followed = await up.gantry(['submit', dir, '--follow']);
    expect(followed.stdout + followed.stderr).toContain('package');
    expect(followed.code, followed.stdout + followed.stderr).toBe(0);
    const run = /run ([a-z2-7]{8,16})/.exec(followed.stdout + followed.stderr)?.[1] ?? '';
    const shown = await show(run);
    expect(shown.stages.map((stage) => `${stage.title}: ${stage.status}`)).toEqual([
      'check: succeeded',
      'test (store=memory): succeeded',
      'test (store=sqlite): succeeded',
      'smoke: succeeded',
      'package: succeeded',
      // A tree sent by hand is not deployed.
      'image: skipped',
      'staging: skipped',
      'production: skipped',
    ]);
    const out = join(dir, 'fetched');
    const fetched = await up.gantry(['artifacts', 'get', run, 'package', '-o', out]);
    expect(fetched.code, fetched.stderr).toBe(0);
  });

  it('runs twenty submits of a dirty tree at once on three agents, each of which does some', async () => {
    const dir = await tree({
      '.gantry.yml': 'image: gantry-test/busybox\nstages:\n  only:\n    steps: [cat dirty.txt]\n',
      'clean.txt': 'committed',
    });
    const { writeFile } = await import('node:fs/promises');
    await writeFile(join(dir, 'dirty.txt'), 'not committed\n');
    const runs = await Promise.all(Array.from({ length: 20 }, () => submit(dir)));
    const waited = await up.gantry(['wait', ...runs], { timeoutMs: 150_000 });
    expect(waited.code, waited.stderr).toBe(0);
    const perAgent = new Map<string, number>();
    for (const run of runs) {
      const shown = await show(run);
      expect(shown.status).toBe('succeeded');
      const agent = shown.stages[0]?.attempts.at(-1)?.agentName ?? 'none';
      perAgent.set(agent, (perAgent.get(agent) ?? 0) + 1);
    }
    expect([...perAgent.keys()].sort()).toEqual(['agent-1', 'agent-2', 'agent-3']);
    for (const [agent, count] of perAgent) expect(count, agent).toBeGreaterThanOrEqual(2);
    const logs = await up.gantry(['logs', runs[0] ?? '', 'only', '1', '--raw']);
    expect(logs.stdout).toBe('not committed\n');
  });

  it('gives a million numbered lines back byte for byte, live and afterwards', async () => {
    const dir = await tree({
      '.gantry.yml': 'image: gantry-test/busybox\nstages:\n  count:\n    steps: [seq 1 1000000]\n',
    });
    const run = await submit(dir);
    const hash = (text: string): string => createHash('sha256').update(text).digest('hex');
    const expected = `${Array.from({ length: 1_000_000 }, (_, n) => n + 1).join('\n')}\n`;
    const live = await up.gantry(['logs', run, 'count', '1', '--raw', '--follow'], { timeoutMs: 150_000 });
    expect(live.code, live.stderr).toBe(0);
    expect(live.stdout.length).toBe(expected.length);
    expect(hash(live.stdout)).toBe(hash(expected));
    expect((await up.gantry(['wait', run])).code).toBe(0);
    const after = await up.gantry(['logs', run, 'count', '1', '--raw']);
    expect(hash(after.stdout)).toBe(hash(expected));
  });

  it('brings a large file, many small ones and an executable back identical', async () => {
    const dir = await tree({
      '.gantry.yml': `image: gantry-test/busybox
stages:
  make:
    steps:
      - |
        head -c 524288000 /dev/urandom > big.bin
        mkdir -p small/deep
        i=0; while [ $i -lt 5000 ]; do echo "file $i" > small/deep/$i.txt; i=$((i+1)); done
        printf '#!/bin/sh\\necho hello\\n' > tool; chmod 755 tool
        sha256sum big.bin > big.sha
    artifacts:
      big: big.bin
      small: small/**
      tool: tool
      sum: big.sha
`,
    });
    const followed = await up.gantry(['submit', dir, '--follow'], { timeoutMs: 170_000 });
    expect(followed.code, followed.stdout + followed.stderr).toBe(0);
    const run = /run ([a-z2-7]{8,16})/.exec(followed.stdout + followed.stderr)?.[1] ?? '';
    const out = join(dir, 'out');
    const fetched = await up.gantry(['artifacts', 'get', run, '-o', out], { timeoutMs: 120_000 });
    expect(fetched.code, fetched.stderr).toBe(0);
    const listed = (await up.json(['artifacts', 'ls', run])) as {
      artifacts: { name: string; files: { path: string; mode: number; size: number; sha256: string }[] }[];
    };
    const files = listed.artifacts.flatMap((artifact) => artifact.files);
    expect(files).toHaveLength(5003);
    expect(files.find((file) => file.path === 'tool')?.mode).toBe(0o755);
    const places = (await import('node:fs/promises')).readdir(out, { recursive: true, withFileTypes: true });
    const found = new Map(
      (await places).filter((one) => one.isFile()).map((one) => [one.name, join(one.parentPath, one.name)]),
    );
    const sum = (await readFile(found.get('big.sha') ?? '', 'utf8')).split(' ')[0];
    const hash = createHash('sha256');
    for await (const chunk of (await import('node:fs')).createReadStream(found.get('big.bin') ?? ''))
      hash.update(chunk as Buffer);
    expect(hash.digest('hex')).toBe(sum);
    expect((await stat(found.get('tool') ?? '')).mode & 0o777).toBe(0o755);
    for (const agent of (await up.daemons()).filter((one) => one.name.startsWith('agent'))) {
      const status = await readFile(`/proc/${agent.pid}/status`, 'utf8');
      const peakKb = Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]);
      console.info(`${agent.name}: peak resident set ${Math.round(peakKb / 1024)} MiB`);
      expect(peakKb, `${agent.name}: peak resident set`).toBeLessThan(150 * 1024);
    }
    for (const n of [0, 1, 2499, 4999]) {
      expect(await readFile(found.get(`${n}.txt`) ?? '', 'utf8')).toBe(`file ${n}\n`);
    }
  });

  it.each([
    ['root', 'gantry-test/python', ''],
    ['user 1000', 'gantry-test/python', '\n    user: "1000:1000"'],
  ])('git log, describe and diff work inside a step as %s', async (_who, image, user) => {
    const dir = await tree({
      '.gantry.yml': `image: ${image}\nstages:\n  git:${user}\n    steps:\n      - git log --oneline\n      - git describe --tags\n      - git diff --stat HEAD\n`,
    });
    await git(dir, 'tag', '-a', 'v1.0', '-m', 'one');
    await commitAll(dir, 'second commit');
    const followed = await up.gantry(['submit', dir, '--follow']);
    expect(followed.code, followed.stdout + followed.stderr).toBe(0);
    const run = /run ([a-z2-7]{8,16})/.exec(followed.stdout + followed.stderr)?.[1] ?? '';
    expect((await up.gantry(['logs', run, 'git', '1', '--raw'])).stdout).toMatch(
      /second commit\n.*first commit\n/,
    );
    expect((await up.gantry(['logs', run, 'git', '2', '--raw'])).stdout).toMatch(/^v1\.0-1-g/);
    expect((await up.gantry(['logs', run, 'git', '3', '--raw'])).stdout).toBe('');
  });
});
