import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  openSync,
  closeSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readContexts } from '../../../coordinator/cli/context.js';
import { addContext } from '../../../coordinator/cli/up/add-context.js';
import { endProcess } from '../../../coordinator/cli/up/daemon.js';
import { dataDir } from '../../../coordinator/cli/up/data-dir.js';
import { lastLines, rotateLog } from '../../../coordinator/cli/up/log-file.js';
import { takeLock } from '../../../coordinator/cli/up/lock.js';
import { completeUpOptions } from '../../../coordinator/cli/up/options.js';
import { nameHolder, portHeldBy } from '../../../coordinator/cli/up/port-holder.js';
import { anyFree, choosePorts, defaultPorts, isFree } from '../../../coordinator/cli/up/ports.js';
import {
  identityOf,
  isAlive,
  sendSignal,
  type ProcessIdentity,
} from '../../../coordinator/cli/up/process-identity.js';
import {
  addressesOf,
  agentSpec,
  coordinatorSpec,
  storageSpec,
  type SpecInput,
} from '../../../coordinator/cli/up/specs.js';
import { readUpFile, writeUpFile, type PortName, type UpFile } from '../../../coordinator/cli/up/up-file.js';
import { eventually } from '../../support/eventually.js';

let dir: string;
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'gantry-up-'))));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const self = identityOf(process.pid)!;

describe('a process by pid and start time', () => {
  it('is not another one that has its pid now, and such a one is never signalled', () => {
    expect(isAlive(self)).toBe(true);
    const earlier = { ...self, started: 'another boot:1' };
    expect(isAlive(earlier)).toBe(false);
    expect(sendSignal(earlier, 'SIGKILL')).toBe(false);
  });

  it('is gone once it has ended', async () => {
    const child = spawn('sleep', ['60'], { detached: true });
    const identity = identityOf(child.pid!)!;
    const exited = once(child, 'exit');
    expect(await endProcess(identity, 1)).toBe(true);
    await exited;
    expect(isAlive(identity)).toBe(false);
    expect(await endProcess(identity, 1)).toBe(false);
  });

  it('is killed with its group when it does not listen', async () => {
    const child = spawn('sh', ['-c', "trap '' TERM; echo on; sleep 60 & wait; wait"], {
      detached: true,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    await once(child.stdout, 'data');
    const identity = identityOf(child.pid!)!;
    expect(await endProcess(identity, 2, 100)).toBe(true);
    await eventually('the group is gone', () => {
      try {
        process.kill(-identity.pid, 0);
        return false;
      } catch {
        return true;
      }
    });
  });
});

describe('the lock of a data directory', () => {
  it('is held by one, and free again afterwards', () => {
    const path = join(dir, 'up.lock');
    const first = takeLock(path);
    expect(first.kind).toBe('held');
    expect(takeLock(path)).toEqual({ kind: 'taken', by: self });
    if (first.kind === 'held') first.release();
    expect(existsSync(path)).toBe(false);
  });

  it('is taken over from one that is gone, and from what is no lock', () => {
    const path = join(dir, 'up.lock');
    for (const left of [JSON.stringify({ pid: 999_999_999, started: 'x' }), '', '{']) {
      writeFileSync(path, left);
      const lock = takeLock(path);
      expect(lock.kind).toBe('held');
      if (lock.kind === 'held') lock.release();
    }
  });
});

describe('the record of what runs', () => {
  const file: UpFile = {
    v: 1,
    supervisor: self,
    ports: { grpc: 1, http: 2, nats: 3, s3: 4 },
    daemons: [{ name: 'nats', pid: 7, started: 'x', digest: 'd' }],
    ready: null,
  };
  it('comes back as it was written, and damaged counts as none', () => {
    const path = join(dir, 'up.json');
    expect(readUpFile(path)).toBeUndefined();
    writeUpFile(path, file);
    expect(readUpFile(path)).toEqual(file);
    writeFileSync(path, '{"v":1,"ports":');
    expect(readUpFile(path)).toBeUndefined();
    writeFileSync(path, '{"v":2}');
    expect(readUpFile(path)).toBeUndefined();
  });
});

describe('ports', () => {
  const request = {
    host: '127.0.0.1',
    asked: {},
    recorded: undefined,
    adopted: new Set<PortName>(),
    contested: false,
  };
  async function taken(): Promise<{ port: number; close(): void }> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    return {
      port: typeof address === 'object' && address !== null ? address.port : 0,
      close: () => server.close(),
    };
  }

  it('are those of last time, moved only where taken, and not where one’s own daemon has it', async () => {
    const one = await taken();
    try {
      expect(await isFree('127.0.0.1', one.port)).toBe(false);
      const recorded = { grpc: one.port, http: 0, nats: 0, s3: 0 };
      const moved = await choosePorts({ ...request, recorded });
      expect(moved.moved).toEqual(['grpc']);
      expect(moved.ports.grpc).not.toBe(one.port);
      expect(new Set(Object.values(moved.ports)).size).toBe(4);
      const own = await choosePorts({ ...request, recorded, adopted: new Set(['grpc']) });
      expect(own.ports.grpc).toBe(one.port);
      await expect(choosePorts({ ...request, asked: { s3: one.port } })).rejects.toThrow(
        `port ${one.port} (--s3-port) is taken on 127.0.0.1 by node (pid ${process.pid})`,
      );
    } finally {
      one.close();
    }
  });

  it('are not the usual ones while another start wants those, unless asked for or kept', async () => {
    const free = await anyFree('127.0.0.1');
    const kept = { grpc: free, http: 0, nats: 0, s3: 0 };
    for (const { ports, moved } of [
      await choosePorts({ ...request, contested: true, recorded: kept }),
      await choosePorts({ ...request, contested: true, asked: { grpc: free } }),
    ]) {
      expect(moved).toEqual([]);
      expect(ports.grpc).toBe(free);
      expect(new Set(Object.values(ports)).size).toBe(4);
      for (const name of ['http', 'nats', 's3'] as const) {
        expect(Object.values(defaultPorts)).not.toContain(ports[name]);
      }
    }
  });
});

describe('who listens on a port', () => {
  /** Listens on any port and says which, by a child of its own when `wrapped`. */
  async function listener(wrapped: boolean): Promise<{ identity: ProcessIdentity; port: number }> {
    const code =
      "const s=require('net').createServer().listen(0,'127.0.0.1',()=>console.log(s.address().port))";
    const [program, args] = wrapped
      ? ['sh', ['-c', '"$0" -e "$1" & wait', process.execPath, code]]
      : [process.execPath, ['-e', code]];
    const child = spawn(program, args, { detached: true, stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    return { identity: identityOf(child.pid!)!, port: Number(line.toString()) };
  }
  const end = ({ identity }: { identity: ProcessIdentity }): void =>
    void process.kill(-identity.pid, 'SIGKILL');

  it.each([false, true])('is the daemon itself and nobody else (by a wrapper: %s)', async (wrapped) => {
    const one = await listener(wrapped);
    const other = await listener(wrapped);
    try {
      expect(portHeldBy(one.port, one.identity)).toBe('itself');
      expect(portHeldBy(one.port, other.identity)).toBe('somebody else');
      expect(portHeldBy(await anyFree('127.0.0.1'), one.identity)).toBe('nobody');
      if (!wrapped) expect(nameHolder(one.port)).toBe(`node (pid ${one.identity.pid})`);
      expect(nameHolder(await anyFree('127.0.0.1'))).toBeUndefined();
    } finally {
      end(one);
      end(other);
    }
    await eventually('it is gone', () => portHeldBy(one.port, one.identity) === 'nobody');
  });
});

describe('contexts', () => {
  it('are all there when several are added at once', async () => {
    const file = join(dir, 'config', 'contexts.json');
    const names = Array.from({ length: 20 }, (_, i) => `c${i}`);
    const adding = names.map((name) => addContext(file, name, { coordinator: '127.0.0.1:1', token: name }));
    await Promise.all(adding);
    expect(Object.keys(readContexts(file).contexts).sort()).toEqual([...names].sort());
    expect(existsSync(`${file}.lock`)).toBe(false);
  });
});

describe('log files', () => {
  it('are rotated under a writer that goes on', () => {
    const file = join(dir, 'x.log');
    const descriptor = openSync(file, 'a');
    writeSync(descriptor, 'old line\n'.repeat(10));
    expect(rotateLog(dir, 'x', 1000)).toBe(false);
    expect(rotateLog(dir, 'x', 50)).toBe(true);
    writeSync(descriptor, 'new line\n');
    closeSync(descriptor);
    expect(readFileSync(file, 'utf8')).toBe('new line\n');
    expect(readFileSync(`${file}.1`, 'utf8')).toBe('old line\n'.repeat(10));
    appendFileSync(file, '\nlast\n');
    expect(lastLines(dir, 'x')).toEqual(['new line', 'last']);
    expect(lastLines(dir, 'none')).toEqual([]);
    const fatal = { level: 60, msg: 'the coordinator ends', err: { type: 'Error', message: 'no bucket' } };
    appendFileSync(file, `${JSON.stringify(fatal)}\n`);
    expect(lastLines(dir, 'x', 1)).toEqual(['the coordinator ends: no bucket']);
  });
});

describe('what daemons are started with', () => {
  const input = (
    flags: Parameters<typeof completeUpOptions>[0] = {},
    env: Record<string, string> = {},
  ): SpecInput => ({
    options: completeUpOptions({ data: dir, ...flags }, env),
    ports: { grpc: 1, http: 2, nats: 3, s3: 4 },
    install: { node: 'node', main: 'main.js', agentMain: 'agent.js', build: 'b1' },
    natsServer: 'nats-server',
    natsConfig: 'conf',
    env,
    joinToken: () => 'JOIN',
  });

  it('keeps tokens and keys out of the list of processes, and those of the caller from the daemons', () => {
    const env = { PATH: '/bin', GANTRY_TOKEN: 'mine', GANTRY_S3_SECRET_KEY: 's', GANTRY_MIN_FREE: '1GB' };
    const agent = agentSpec(input({}, env), 1);
    expect(agent.args.join(' ')).not.toContain('JOIN');
    expect(agent.env).toEqual({ PATH: '/bin', GANTRY_MIN_FREE: '1GB', MALLOC_ARENA_MAX: '2' });
    expect(agent.secrets()).toEqual({ GANTRY_TOKEN: 'JOIN' });
    expect(coordinatorSpec(input({}, env)).env).toEqual({ PATH: '/bin', GANTRY_MIN_FREE: '1GB' });
    expect(storageSpec(input({}, env)).env).not.toHaveProperty('GANTRY_S3_SECRET_KEY');
  });

  it('has a digest that changes with what matters, and not with tokens', () => {
    const { digest } = agentSpec(input(), 1);
    expect(agentSpec({ ...input(), joinToken: () => 'OTHER' }, 1).digest).toBe(digest);
    expect(agentSpec(input({ slots: '3' }), 1).digest).not.toBe(digest);
    expect(agentSpec({ ...input(), install: { ...input().install, build: 'b2' } }, 1).digest).not.toBe(
      digest,
    );
  });

  it('gives the SMTP server to the coordinator alone, and on no command line', () => {
    const smtp = 'smtp://ci:hunter2@mail.example.org';
    for (const given of [input({ smtp }), input({}, { GANTRY_SMTP: smtp })]) {
      const spec = coordinatorSpec(given);
      expect(spec.env['GANTRY_SMTP']).toBe(smtp);
      expect(spec.args.join(' ')).not.toContain('hunter2');
      for (const other of [agentSpec(given, 1), storageSpec(given)]) {
        expect(JSON.stringify([other.env, other.args])).not.toContain('hunter2');
      }
    }
    // One that runs with another server is started anew; the others go on.
    const [before, after] = [input({ smtp }), input({ smtp: 'smtp://localhost' })];
    expect(coordinatorSpec(before).digest).not.toBe(coordinatorSpec(after).digest);
    expect(storageSpec(before).digest).toBe(storageSpec(after).digest);
    expect(() => completeUpOptions({ smtp: 'smtp://ci:hunter2@h/x' }, {})).toThrow(/--smtp \(GANTRY_SMTP\)/);
  });

  it('uses an existing NATS and S3 where they are given', () => {
    const env = { GANTRY_S3_ACCESS_KEY: 'a', GANTRY_S3_SECRET_KEY: 's' };
    const flags = {
      nats: 'nats://n:1',
      natsCreds: '/c',
      s3Endpoint: 'https://s',
      s3PublicEndpoint: 'https://p',
    };
    const spec = coordinatorSpec(input(flags, env));
    expect(spec.args.join(' ')).toContain(
      '--nats nats://n:1 --nats-advertise nats://n:1 --s3-endpoint https://s --s3-public-endpoint https://p',
    );
    expect(spec.args.join(' ')).toContain('--nats-creds /c');
    expect(spec.env).toEqual(env);
  });

  it('gives others the advertised name', () => {
    const { options, ports } = input({ host: '0.0.0.0', advertise: 'ci.example.org', insecure: true });
    expect(addressesOf(options, ports)).toEqual({
      grpc: 'ci.example.org:1',
      http: 'http://ci.example.org:2',
      nats: 'nats://ci.example.org:3',
      s3: 'http://ci.example.org:4',
      local: { grpc: '127.0.0.1:1', nats: 'nats://127.0.0.1:3', s3: 'http://127.0.0.1:4' },
    });
  });

  it('refuses to listen off loopback without a certificate, and says why', () => {
    expect(() => completeUpOptions({ host: '10.0.0.1' }, {})).toThrow('readable by all');
    expect(completeUpOptions({ host: '10.0.0.1', tlsCert: 'c', tlsKey: 'k' }, {}).tls).toBeDefined();
  });

  it('keeps data where the system says', () => {
    expect(dataDir(undefined, { XDG_STATE_HOME: '/s', HOME: '/h' })).toMatchObject({
      root: '/s/gantry',
      contextName: 'local',
    });
    expect(dataDir(undefined, { HOME: '/h' }).root).toBe('/h/.local/state/gantry');
    expect(dataDir('/x', { HOME: '/h' }).contextName).toMatch(/^local-[0-9a-f]{6}$/);
  });
});
