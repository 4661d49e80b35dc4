import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect } from '../../coordinator/cli/grpc-client.js';
import { identityOf } from '../../coordinator/cli/up/process-identity.js';
import type { UpFile } from '../../coordinator/cli/up/up-file.js';
import { eventually } from '../support/eventually.js';
import { gantryMain, runProgram, startUp, type Up } from '../support/installation.js';

/** A port is nobody's between choosing it and listening on it: whoever comes first has it, and the others move. */
const flags = ['--executor', 'host', '--ignore-image'];

interface Context {
  readonly coordinator: string;
  readonly token: string;
}

let home: string;
beforeAll(async () => (home = await mkdtemp(join(tmpdir(), 'gantry-at-once-'))));
afterAll(() => rm(home, { recursive: true, force: true }));

describe('four that start at the same moment', () => {
  const config = (): string => join(home, 'contexts.json');
  let ups: readonly Up[] = [];
  beforeAll(async () => {
    // One user's four installations: they share the file of contexts.
    const started = await Promise.allSettled(
      [1, 2, 3, 4].map(() => startUp(flags, { GANTRY_CONFIG: config() })),
    );
    ups = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    for (const one of started) if (one.status === 'rejected') throw one.reason;
  });
  afterAll(() => Promise.all(ups.map((up) => up.stop())));

  it('are all ready, each on ports of its own', () => {
    const addresses = ups.flatMap(({ grpc, http, nats, s3 }) => [grpc, http, nats, s3]);
    expect(addresses).toHaveLength(16);
    expect(new Set(addresses.map((address) => address.replace(/^.*:/, ''))).size).toBe(16);
  });

  it('leave a context each, whose token is good for its own coordinator and no other', async () => {
    const { contexts } = JSON.parse(await readFile(config(), 'utf8')) as {
      contexts: Readonly<Record<string, Context>>;
    };
    const all = Object.values(contexts);
    expect(all.map((context) => context.coordinator).sort()).toEqual(ups.map((up) => up.grpc).sort());
    const asked = all.flatMap(({ coordinator }) =>
      all.map(async ({ coordinator: own, token }) => {
        const api = connect({ address: coordinator, token, from: 'a test' });
        try {
          const names = api.listAgents({}).then(({ agents = [] }) => agents.map(({ name }) => name));
          if (coordinator === own) await expect(names).resolves.toEqual(['agent-1']);
          else await expect(names).rejects.toThrow('does not accept the token');
        } finally {
          api.close();
        }
      }),
    );
    await Promise.all(asked);
  });
});

describe('a port that is taken between choosing and listening', () => {
  /** Says what a NATS server says first, on a port that is its argument, and its pid into a file. */
  const squatter = (): string => join(home, 'squatter.mjs');
  /** In place of `nats-server`: the first time somebody else takes its port before it listens. */
  const server = (): string => join(home, 'nats-server');
  const pidFile = (): string => join(home, 'squatter.pid');
  let squatterPid = 0;

  beforeAll(async () => {
    await writeFile(
      squatter(),
      `import { createServer } from 'node:net';
import { writeFileSync } from 'node:fs';
const [, , port, file] = process.argv;
createServer((socket) => { socket.on('error', () => {}); socket.write('INFO {}\\r\\n'); })
  .listen(Number(port), '127.0.0.1', () => writeFileSync(file, String(process.pid)));
`,
    );
    await writeFile(
      server(),
      `#!/bin/sh
if [ "$1" = -c ] && [ ! -e ${pidFile()} ]; then
  port=$(sed -n 's/^listen: .*:\\([0-9]*\\)"$/\\1/p' "$2")
  setsid ${process.execPath} ${squatter()} "$port" ${pidFile()} </dev/null >/dev/null 2>&1 &
  while [ ! -s ${pidFile()} ]; do sleep 0.02; done
fi
exec nats-server "$@"
`,
    );
    await chmod(server(), 0o755);
  });
  const endSquatter = async (): Promise<void> => {
    squatterPid = Number(await readFile(pidFile(), 'utf8'));
    process.kill(squatterPid, 'SIGKILL');
    await eventually('it is gone', () => identityOf(squatterPid) === undefined);
    await rm(pidFile());
  };

  it('is left to whoever has it, and another one is chosen', async () => {
    const up = await startUp(flags, { GANTRY_NATS_SERVER: server() });
    try {
      const { ports } = JSON.parse(await readFile(join(up.data, 'up.json'), 'utf8')) as {
        ports: { nats: number };
      };
      expect(up.nats).toBe(`nats://127.0.0.1:${ports.nats}`);
      expect((await up.gantry(['agents', 'ls'])).code).toBe(0);
      const conf = await readFile(join(up.data, 'nats-server.conf'), 'utf8');
      expect(conf).toContain(`:${ports.nats}"`);
      const held = await readFile(`/proc/${await readFile(pidFile(), 'utf8')}/cmdline`, 'latin1');
      expect(held.split('\0')).not.toContain(String(ports.nats));
    } finally {
      await endSquatter();
      await up.stop();
    }
  });

  it('is an error that names who has it, where it was asked for or kept from an earlier start', async () => {
    const data = join(home, 'data');
    const env = { GANTRY_CONFIG: join(home, 'own.json'), HOME: home };
    const withSquatter = { env: { ...env, GANTRY_NATS_SERVER: server() } };
    const up = (more: readonly string[], options: { env: Readonly<Record<string, string>> }) =>
      runProgram(process.execPath, [gantryMain, 'up', '--data', data, ...flags, ...more], options);
    const recorded = async (): Promise<{ readonly daemons: unknown; readonly ports: unknown }> => {
      const file = JSON.parse(await readFile(join(data, 'up.json'), 'utf8')) as UpFile;
      return { daemons: file.daemons, ports: file.ports };
    };
    const port = String(20_000 + (process.pid % 10_000));

    const asked = await up(['--nats-port', port], withSquatter);
    await endSquatter();
    expect(asked.code, asked.stderr).toBe(5);
    expect(asked.stderr).toContain(`port ${port} (NATS) is taken by node (pid ${squatterPid})`);
    expect(asked.stderr).toContain('leave --nats-port out');
    // It told nobody its ports, so it keeps none.
    expect(await recorded()).toEqual({ daemons: [], ports: { grpc: 0, http: 0, nats: 0, s3: 0 } });

    const first = await up(['--detach'], { env });
    expect(first.code, first.stderr).toBe(0);
    const down = await runProgram(process.execPath, [gantryMain, 'down', '--data', data], { env });
    expect(down.code, down.stderr).toBe(0);
    const kept = await up([], withSquatter);
    await endSquatter();
    expect(kept.code, kept.stderr).toBe(5);
    expect(kept.stderr).toMatch(new RegExp(`port \\d+ \\(NATS\\) is taken by node \\(pid ${squatterPid}\\)`));
    expect(kept.stderr).toContain('--nats-port');
    expect((await recorded()).daemons).toEqual([]);
  });
});
