import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { identityOf } from '../../coordinator/cli/up/process-identity.js';
import { eventually } from '../support/eventually.js';
import { cleanEnv, gantryMain, makeTree, startUp, type Daemon, type Up } from '../support/installation.js';

/** `up` and `down`, with the host executor: what is killed comes back, what was left is adopted, nothing stays. */
const flags = ['--executor', 'host', '--ignore-image', '--agents', '2'];
const pipeline = 'stages:\n  hello:\n    steps:\n      - echo hello\n';

interface UpFile {
  readonly supervisor: { readonly pid: number } | null;
  readonly daemons: readonly Daemon[];
  readonly ports: Readonly<Record<string, number>>;
}

let up: Up;
let dir: string;

const upFile = async (): Promise<UpFile> =>
  JSON.parse(await readFile(`${up.data}/up.json`, 'utf8')) as UpFile;
const isAlive = (pid: number): boolean => identityOf(pid) !== undefined;
const pidOf = async (name: string): Promise<number> =>
  (await up.daemons()).find((daemon) => daemon.name === name)?.pid ?? 0;

beforeAll(async () => {
  dir = await makeTree({ '.gantry.yml': pipeline });
  up = await startUp(flags);
});
afterAll(async () => {
  await up.gantry(['down', '--data', up.data]);
  await up.stop();
  await rm(dir, { recursive: true, force: true });
});

describe('gantry up', () => {
  it('starts each daemon as a process of its own, with private keys, and makes a context', async () => {
    const daemons = await up.daemons();
    expect(daemons.map((daemon) => daemon.name).sort()).toEqual([
      'agent-1',
      'agent-2',
      'coordinator',
      'nats',
      'storage',
    ]);
    expect(new Set(daemons.map((daemon) => daemon.pid)).size).toBe(5);
    const followed = await up.gantry(['submit', dir, '--follow', '--json']);
    expect(followed.code, followed.stderr).toBe(0);
    const lines = followed.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines[0]).toMatchObject({ run: expect.stringMatching(/^[a-z2-7]{16}$/) as string });
    expect(lines[1]).toMatchObject({ kind: 'state' });
    expect(lines.at(-1)).toMatchObject({ kind: 'run', status: 'succeeded' });
  });

  it('is refused a second time for the same data, and a detached one says that it is there', async () => {
    const second = await up.gantry(['up', '--data', up.data, ...flags]);
    expect(second.code).toBe(5);
    expect(second.stderr).toContain('runs already');
    const detached = await up.gantry(['up', '--data', up.data, '--detach', '--json', ...flags]);
    expect(detached.code, detached.stderr).toBe(0);
    expect(JSON.parse(detached.stdout)).toMatchObject({ ready: true, grpc: up.grpc });
  });

  it.each(['nats', 'storage', 'coordinator', 'agent-2'])(
    'starts %s again on its port when it was killed',
    async (name) => {
      const before = await pidOf(name);
      process.kill(before, 'SIGKILL');
      await eventually(
        'it has another pid',
        async () => {
          const now = await pidOf(name);
          return now !== before && isAlive(now);
        },
        20_000,
      );
      await eventually(
        'all agents work',
        async () => {
          const listed = await up.gantry(['agents', 'ls', '--json']);
          if (listed.code !== 0) return false;
          const { agents } = JSON.parse(listed.stdout) as { agents: { status: string }[] };
          return agents.filter((agent) => agent.status === 'idle').length === 2;
        },
        60_000,
      );
      const followed = await up.gantry(['submit', dir, '--follow']);
      expect(followed.code, followed.stdout + followed.stderr).toBe(0);
    },
  );

  it('leaves its daemons running when it is killed, and the next one adopts them', async () => {
    const before = await upFile();
    process.kill(before.supervisor?.pid ?? 0, 'SIGKILL');
    await eventually('it is gone', () => !isAlive(before.supervisor?.pid ?? 0));
    expect((await up.gantry(['submit', dir, '--follow'])).code).toBe(0);
    const next = await up.gantry(['up', '--data', up.data, '--detach', '--json', ...flags]);
    expect(next.code, next.stderr).toBe(0);
    const after = await upFile();
    expect(after.daemons.map(({ name, pid }) => `${name} ${pid}`).sort()).toEqual(
      before.daemons.map(({ name, pid }) => `${name} ${pid}`).sort(),
    );
    expect(after.ports).toEqual(before.ports);
    // Adopted, it is looked after like its own.
    const storage = await pidOf('storage');
    process.kill(storage, 'SIGKILL');
    await eventually(
      'storage runs again',
      async () => {
        const now = await pidOf('storage');
        return now !== storage && isAlive(now);
      },
      20_000,
    );
  });

  it('is stopped by down, also when it was killed, and nothing stays', async () => {
    const { supervisor, daemons } = await upFile();
    process.kill(supervisor?.pid ?? 0, 'SIGKILL');
    await eventually('it is gone', () => !isAlive(supervisor?.pid ?? 0));
    const down = await up.gantry(['down', '--data', up.data, '--json']);
    expect(down.code, down.stderr).toBe(0);
    const { stopped } = JSON.parse(down.stdout) as { stopped: Daemon[] };
    expect(stopped.map((daemon) => daemon.name).sort()).toEqual(daemons.map((daemon) => daemon.name).sort());
    expect(daemons.filter((daemon) => isAlive(daemon.pid))).toEqual([]);
    const again = await up.gantry(['down', '--data', up.data]);
    expect(again.stdout).toContain('nothing of');
    const unreachable = await up.gantry(['runs']);
    expect(unreachable.code).toBe(3);
    expect(unreachable.stderr).toContain(up.grpc);
    expect(unreachable.stderr).toContain('gantry up');
  });

  it('keeps its data, moves to a free port when one is taken, and goes on', async () => {
    const port = (await upFile()).ports['http'] ?? 0;
    const server = createServer().listen(port, '127.0.0.1');
    await once(server, 'listening');
    try {
      const child = spawn(process.execPath, [gantryMain, 'up', '--data', up.data, '--json', ...flags], {
        env: cleanEnv(up.env),
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      const ended = once(child, 'exit');
      const [line] = (await once(child.stdout, 'data')) as [Buffer];
      expect(JSON.parse(line.toString())).toMatchObject({ ready: true, grpc: up.grpc });
      const after = await upFile();
      expect(after.ports['http']).not.toBe(port);
      const runs = (await up.json(['runs'])) as { runs: unknown[] };
      expect(runs.runs.length).toBeGreaterThan(0);
      child.kill('SIGINT');
      expect(await ended).toEqual([0, null]);
      expect(after.daemons.filter((daemon) => isAlive(daemon.pid))).toEqual([]);
      expect(existsSync(`${up.data}/up.lock`)).toBe(false);
    } finally {
      server.close();
    }
  });
});

describe('what is missing', () => {
  it.each([
    [
      'nats-server',
      { GANTRY_NATS_SERVER: '/nonexistent/nats-server' },
      [],
      /nats-server/,
      /apt-get install nats-server/,
    ],
    [
      'Docker',
      { DOCKER_HOST: 'unix:///nonexistent.sock' },
      ['--executor', 'docker'],
      /no Docker daemon/,
      /--executor host --ignore-image/,
    ],
  ])('%s is said with its remedy, and nothing is started', async (_what, env, more, message, remedy) => {
    const data = `${up.data}-missing`;
    const answer = await up.gantry(['up', '--data', data, ...(more.length === 0 ? flags : more)], { env });
    expect(answer.code).toBe(5);
    expect(answer.stderr).toMatch(message);
    expect(answer.stderr).toMatch(remedy);
    expect(existsSync(`${data}/logs/nats.log`)).toBe(false);
  });

  it('wrong flags are said all at once', async () => {
    const answer = await up.gantry([
      'up',
      '--data',
      `${up.data}-wrong`,
      '--agents',
      'many',
      '--slots',
      '0',
      '--host',
      '0.0.0.0',
    ]);
    expect(answer.code).toBe(2);
    for (const flag of ['--agents many', '--slots 0', '--tls-cert', '--advertise'])
      expect(answer.stderr).toContain(flag);
  });
});
