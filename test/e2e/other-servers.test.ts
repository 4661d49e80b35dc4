import { DeleteBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.js';
import { ensureTestImage } from '../support/images.js';
import {
  agentMain,
  cleanEnv,
  gantryMain,
  makeTree,
  runProgram,
  startUp,
  type Finished,
  type RunOptions,
} from '../support/installation.js';
import { freePort } from '../support/nats.js';
import { startRgw, type TestS3 } from '../support/s3.js';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.js';

/**
 * The same job on servers that are not ours: Ceph RGW as storage, and a nats-server started by hand from what
 * `gantry nats init` wrote; daemons as processes with flags only, and `gantry up` beside existing servers.
 */
interface Shown {
  readonly status: string;
  readonly stages: readonly {
    readonly status: string;
    readonly attempts: readonly { readonly attempt: number; readonly status: string }[];
  }[];
}

interface Process {
  readonly child: ChildProcess;
  said(): string;
  says(text: string | RegExp, withinMs?: number): Promise<void>;
  readonly ended: Promise<number>;
  stop(signal: NodeJS.Signals): Promise<number>;
}

let rgw: TestS3;
const homes: string[] = [];
/** In the order of their start; ended in reverse after each test that started them. */
const processes: Process[] = [];

async function newHome(): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), 'gantry-other-'));
  homes.push(home);
  return home;
}

function start(file: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Process {
  const child = spawn(file, args, { env: cleanEnv(env), stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  const take = (chunk: Buffer): void => void (said = (said + chunk.toString()).slice(-100_000));
  child.stdout.on('data', take);
  child.stderr.on('data', take);
  const ended = new Promise<number>((resolve) => child.once('close', (code) => resolve(code ?? 128)));
  const process: Process = {
    child,
    ended,
    said: () => said,
    says: async (text, withinMs = 30_000) => {
      try {
        await eventually(
          'it says so',
          () => (typeof text === 'string' ? said.includes(text) : text.test(said)),
          withinMs,
        );
      } catch (cause) {
        throw new Error(`${file} ${args.join(' ')}\ndid not say ${String(text)}; it said:\n${said}`, {
          cause,
        });
      }
    },
    stop: (signal) => {
      child.kill(signal);
      return ended;
    },
  };
  processes.push(process);
  return process;
}

/** What one installation by hand consists of, and the flags that its daemons get. */
interface Installation {
  readonly home: string;
  readonly natsUrl: string;
  readonly env: Readonly<Record<string, string>>;
  nats(): Process;
  coordinator(change?: { readonly env?: Readonly<Record<string, string>> }): Process;
  agent(): Promise<Process>;
  gantry(args: readonly string[], options?: RunOptions): Promise<Finished>;
  json(args: readonly string[]): Promise<unknown>;
}

async function install(at: { readonly bucket: string; readonly endpoint?: string }): Promise<Installation> {
  const home = await newHome();
  const [natsPort, grpcPort, httpPort] = [await freePort(), await freePort(), await freePort()];
  const directory = join(home, 'gantry');
  const init = await runProgram(process.execPath, [
    gantryMain,
    ...['nats', 'init', directory, '--listen', `127.0.0.1:${natsPort}`, '--json'],
  ]);
  expect(init.code, init.stderr).toBe(0);
  const made = JSON.parse(init.stdout) as {
    readonly config: string;
    readonly url: string;
    readonly keys: string;
    readonly tokenFile: string;
  };
  const env = {
    HOME: home,
    GANTRY_COORDINATOR: `127.0.0.1:${grpcPort}`,
    GANTRY_TOKEN: (await readFile(made.tokenFile, 'utf8')).trim(),
  };
  const gantry = (args: readonly string[], options: RunOptions = {}): Promise<Finished> =>
    runProgram(process.execPath, [gantryMain, ...args], { ...options, env: { ...env, ...options.env } });
  const json = async (args: readonly string[]): Promise<unknown> => {
    const finished = await gantry([...args, '--json']);
    if (finished.code !== 0)
      throw new Error(`gantry ${args.join(' ')}: ${finished.stdout}${finished.stderr}`);
    return JSON.parse(finished.stdout);
  };
  return {
    home,
    natsUrl: made.url,
    env,
    gantry,
    json,
    nats: () => start('nats-server', ['-c', made.config]),
    coordinator: (change = {}) =>
      start(
        process.execPath,
        [
          gantryMain,
          'coordinator',
          ...['--keys', made.keys, '--nats', made.url],
          ...['--grpc-listen', `127.0.0.1:${grpcPort}`, '--http-listen', `127.0.0.1:${httpPort}`],
          ...['--s3-endpoint', at.endpoint ?? rgw.endpoint],
          ...['--s3-bucket', at.bucket, '--s3-region', rgw.region],
        ],
        { HOME: home, ...keysOf(rgw), ...change.env },
      ),
    agent: async () => {
      const { token } = (await json(['agents', 'token'])) as { token: string };
      return start(
        process.execPath,
        [
          agentMain,
          ...['--coordinator', `127.0.0.1:${grpcPort}`, '--data', join(home, 'agent')],
          ...['--name', 'by-hand', '--local-images', '*'],
        ],
        { HOME: home, GANTRY_TOKEN: token },
      );
    },
  };
}

const keysOf = (s3: TestS3): Readonly<Record<string, string>> => ({
  GANTRY_S3_ACCESS_KEY: s3.accessKey,
  GANTRY_S3_SECRET_KEY: s3.secretKey,
});

async function tree(yaml: string): Promise<string> {
  const dir = await makeTree({ '.gantry.yml': yaml });
  homes.push(dir);
  return dir;
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

beforeAll(async () => {
  await ensureTestImage('busybox');
  rgw = await startRgw();
});
afterEach(async () => {
  for (const one of processes.splice(0).reverse()) {
    one.child.kill('SIGTERM');
    // Agents, which come first, end what they run instead of handing it over.
    if (one.child.spawnargs.includes(agentMain)) one.child.kill('SIGTERM');
    const late = setTimeout(() => one.child.kill('SIGKILL'), 15_000);
    await one.ended;
    clearTimeout(late);
  }
});
afterAll(async () => {
  await rgw.stop();
  for (const home of homes) await rm(home, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
});

const lines = 200;
const job = `image: gantry-test/busybox
stages:
  make:
    steps:
      - i=1; while [ $i -le ${lines} ]; do echo "line $i"; i=$((i+1)); sleep 0.02; done
      - |
        head -c 90000000 /dev/urandom > big.bin; sha256sum big.bin
        mkdir many; i=0; while [ $i -lt 200 ]; do echo "file $i" > many/$i.txt; i=$((i+1)); done
        printf '#!/bin/sh\\n' > tool; chmod 755 tool
    artifacts: { big: big.bin, many: many/**, tool: tool }
  use:
    needs: [make]
    steps: [sha256sum big.bin, cat many/199.txt, "[ -x tool ]"]
`;
const counted = Array.from({ length: lines }, (_, n) => `line ${n + 1}\n`).join('');

interface Cli {
  gantry(args: readonly string[], options?: RunOptions): Promise<Finished>;
  json(args: readonly string[]): Promise<unknown>;
}

/** The main job, with the coordinator killed by -9 in the middle of its first stage. */
async function mainJob(cli: Cli, killCoordinator: () => Promise<void>): Promise<void> {
  const dir = await tree(job);
  const { run } = (await cli.json(['submit', dir])) as { run: string };
  const boxes = async (): Promise<string> => {
    const filter = `label=gantry.attempt=${run}/1/1`;
    return (await runProgram('docker', ['ps', '-q', '--no-trunc', '--filter', filter])).stdout.trim();
  };
  await eventually(
    'the first step prints',
    async () => (await cli.gantry(['logs', run, 'make', '1', '--raw'])).stdout.includes('line 20\n'),
    60_000,
  );
  const before = await boxes();
  expect(before).not.toBe('');
  await killCoordinator();
  await eventually('a coordinator answers', async () => (await cli.gantry(['runs'])).code === 0, 30_000);
  expect(await boxes()).toBe(before);
  const waited = await cli.gantry(['wait', run], { timeoutMs: 120_000 });
  expect(waited.code, waited.stdout + waited.stderr).toBe(0);
  const shown = (await cli.json(['show', run])) as Shown;
  expect(shown.stages.map(({ attempts }) => attempts.map(({ status }) => status))).toEqual([
    ['succeeded'],
    ['succeeded'],
  ]);
  const log = async (stage: string, step: string): Promise<string> =>
    (await cli.gantry(['logs', run, stage, step, '--raw'])).stdout;
  expect(await log('make', '1')).toBe(counted);
  expect(await log('use', '2')).toBe('file 199\n');
  const sum = await log('make', '2');
  expect(await log('use', '1')).toBe(sum);
  const out = join(dir, 'out');
  const fetched = await cli.gantry(['artifacts', 'get', run, '-o', out]);
  expect(fetched.code, fetched.stderr).toBe(0);
  expect(`${sha256(await readFile(join(out, 'big.bin')))}  big.bin\n`).toBe(sum);
  expect(await readFile(join(out, 'many', '7.txt'), 'utf8')).toBe('file 7\n');
}

describe('Ceph RGW and a nats-server started by hand', () => {
  it('do the main job with `gantry coordinator` and `gantry-agent`, by flags only', async () => {
    const by = await install({ bucket: 'by-hand' });
    by.nats();
    let coordinator = by.coordinator();
    await coordinator.says('"ready"');
    const agent = await by.agent();
    await agent.says('agent ready');
    await mainJob(by, async () => {
      await coordinator.stop('SIGKILL');
      coordinator = by.coordinator();
    });
  });

  it('do the main job beside `gantry up --nats … --s3-endpoint …`', async () => {
    const by = await install({ bucket: 'beside-up' });
    const nats = by.nats();
    await nats.says('Server is ready');
    const up = await startUp(
      [
        ...['--keys', join(by.home, 'gantry', 'keys'), '--nats', by.natsUrl],
        ...['--s3-endpoint', rgw.endpoint, '--s3-bucket', 'beside-up', '--s3-region', rgw.region],
      ],
      keysOf(rgw),
    );
    try {
      expect(up.nats).toBe(by.natsUrl);
      expect(up.s3).toBe(rgw.endpoint);
      const names = (await up.daemons()).map(({ name }) => name).sort();
      expect(names).toEqual(['agent-1', 'coordinator']);
      await mainJob(up, async () => {
        const coordinator = (await up.daemons()).find(({ name }) => name === 'coordinator');
        process.kill(coordinator?.pid ?? 0, 'SIGKILL');
      });
    } finally {
      await up.stop();
    }
  });
});

describe('an existing NATS that knows no credentials of ours', () => {
  it('is used with two static users, of which the agents’ may do little', async () => {
    const by = await install({ bucket: 'static-users' });
    const port = new URL(by.natsUrl).port;
    const config = join(by.home, 'static.conf');
    await writeFile(
      config,
      `listen: 127.0.0.1:${port}
jetstream { store_dir: "${join(by.home, 'static')}" }
authorization { users = [
  { user: coordinator, password: "c-secret" }
  { user: agents, password: "a-secret", permissions: {
    publish: ["gantry.heartbeat.*"], subscribe: ["gantry.agent.>"], allow_responses: { max: 1, expires: "1m" } } }
] }
`,
    );
    start('nats-server', ['-c', config]);
    const half = by.coordinator({ env: { GANTRY_NATS_USER: 'coordinator:c-secret' } });
    expect(await half.ended).toBe(2);
    expect(half.said()).toContain('--nats-agent-user');
    const env = { GANTRY_NATS_USER: 'coordinator:c-secret', GANTRY_NATS_AGENT_USER: 'agents:a-secret' };
    const coordinator = by.coordinator({ env });
    await coordinator.says('"ready"');
    const agent = await by.agent();
    await agent.says('agent ready');
    const dir = await tree('image: gantry-test/busybox\nstages:\n  only:\n    steps: [echo done]\n');
    const followed = await by.gantry(['submit', dir, '--follow']);
    expect(followed.code, followed.stdout + followed.stderr).toBe(0);
    expect(agent.said()).not.toContain('NATS refused');
    expect(coordinator.said() + agent.said()).not.toContain('-secret');
  });
});

describe('a coordinator that starts', () => {
  it('waits for NATS, says where and what to do, and comes up when NATS does', async () => {
    const by = await install({ bucket: 'waits-for-nats' });
    const coordinator = by.coordinator();
    await coordinator.says(by.natsUrl);
    await coordinator.says('cannot be reached');
    await coordinator.says('nats-server -c');
    expect(coordinator.child.exitCode).toBeNull();
    const early = await by.gantry(['runs']);
    expect(early.code, early.stderr).toBe(3);
    by.nats();
    await coordinator.says('"ready"', 15_000);
    const now = await by.gantry(['runs']);
    expect(now.code, now.stderr).toBe(0);
  });

  it('with keys of another installation ends and says what belongs together', async () => {
    const by = await install({ bucket: 'foreign-keys' });
    const other = await install({ bucket: 'foreign-keys' });
    by.nats();
    const creds = join(other.home, 'gantry', 'keys', 'coordinator.creds');
    const coordinator = by.coordinator({ env: { GANTRY_NATS_CREDS: creds } });
    expect(await coordinator.ended).toBe(7);
    expect(coordinator.said()).toContain('refuses these credentials');
    expect(coordinator.said()).toContain('gantry nats init');
  });

  it.each([
    ['access key', { GANTRY_S3_ACCESS_KEY: 'NOBODYKNOWSTHISKEY00' }],
    ['secret key', { GANTRY_S3_SECRET_KEY: 'wrong' }],
  ])('with a wrong S3 %s ends and says which storage refused it', async (_which, env) => {
    const by = await install({ bucket: 'wrong-keys' });
    by.nats();
    const coordinator = by.coordinator({ env });
    expect(await coordinator.ended).toBe(7);
    for (const word of [rgw.endpoint, 'bucket wrong-keys', 'Check the access key', 'secret key'])
      expect(coordinator.said()).toContain(word);
    expect(coordinator.said()).not.toContain(rgw.secretKey);
  });

  it('with a bucket that cannot be made ends and names it', async () => {
    const by = await install({ bucket: 'No_Bucket_Name' });
    by.nats();
    const coordinator = by.coordinator();
    expect(await coordinator.ended).toBe(7);
    expect(coordinator.said()).toContain('bucket');
    expect(coordinator.said()).toMatch(/InvalidBucketName|No_Bucket_Name/);
  });

  it('without storage says so, serves what needs none, and has it when it comes', async () => {
    const proxy = await startTcpProxy(rgw.endpoint);
    try {
      await proxy.cut();
      const by = await install({ bucket: 'comes-later', endpoint: proxy.url });
      by.nats();
      const coordinator = by.coordinator();
      await coordinator.says('"ready"', 60_000);
      await coordinator.says('storage does not answer');
      await coordinator.says(proxy.url);
      const agent = await by.agent();
      await agent.says('agent ready');
      expect((await by.gantry(['runs'])).code).toBe(0);
      const dir = await tree('image: gantry-test/busybox\nstages:\n  only:\n    steps: ["true"]\n');
      const early = await by.gantry(['submit', dir], { timeoutMs: 60_000 });
      expect(early.code, early.stdout + early.stderr).not.toBe(0);
      expect(early.stderr).toContain(proxy.url);
      await proxy.mend();
      await coordinator.says('storage answers', 30_000);
      const late = await by.gantry(['submit', dir, '--follow']);
      expect(late.code, late.stdout + late.stderr).toBe(0);
    } finally {
      await proxy.close();
    }
  });
});

describe('storage that goes away', () => {
  let proxy: TcpProxy;
  beforeAll(async () => {
    proxy = await startTcpProxy(rgw.endpoint);
  });
  afterAll(async () => {
    await proxy.close();
  });

  it('in the middle of an upload: the stage stays running, why says so, then it succeeds', async () => {
    const by = await install({ bucket: 'away', endpoint: proxy.url });
    by.nats();
    const coordinator = by.coordinator();
    await coordinator.says('"ready"');
    const agent = await by.agent();
    await agent.says('agent ready');
    const dir = await tree(
      'image: gantry-test/busybox\nstages:\n  make:\n    steps:\n      - head -c 150000000 /dev/urandom > big.bin; sha256sum big.bin\n    artifacts: { big: big.bin }\n',
    );
    const { run } = (await by.json(['submit', dir])) as { run: string };
    await proxy.cutAfter(40_000_000);
    const why = await eventually(
      'why names the storage',
      async () => {
        const { stdout } = await by.gantry(['why', run]);
        return /storage/.test(stdout) ? stdout : undefined;
      },
      60_000,
    );
    expect(why).toContain('make');
    const during = (await by.json(['show', run])) as Shown;
    expect(during.stages.map(({ status }) => status)).toEqual(['running']);
    const doctor = await by.gantry(['doctor', '--json'], { timeoutMs: 60_000 });
    expect(doctor.stdout).toContain('"name":"coordinator: storage","level":"error"');
    await proxy.mend();
    const waited = await by.gantry(['wait', run], { timeoutMs: 120_000 });
    expect(waited.code, waited.stdout + waited.stderr).toBe(0);
    const after = (await by.json(['show', run])) as Shown;
    expect(after.stages[0]?.attempts.map(({ status }) => status)).toEqual(['succeeded']);
    const out = join(dir, 'out');
    const fetched = await by.gantry(['artifacts', 'get', run, '-o', out]);
    expect(fetched.code, fetched.stderr).toBe(0);
    const sum = (await by.gantry(['logs', run, 'make', '1', '--raw'])).stdout;
    expect(`${sha256(await readFile(join(out, 'big.bin')))}  big.bin\n`).toBe(sum);
  });

  it('as its bucket is deleted: submit and doctor name the bucket and what to do', async () => {
    const by = await install({ bucket: 'deleted' });
    by.nats();
    const coordinator = by.coordinator();
    await coordinator.says('"ready"');
    const s3 = new S3Client({
      endpoint: rgw.endpoint,
      region: rgw.region,
      forcePathStyle: true,
      credentials: { accessKeyId: rgw.accessKey, secretAccessKey: rgw.secretKey },
    });
    await s3.send(new DeleteBucketCommand({ Bucket: 'deleted' }));
    s3.destroy();
    const dir = await tree('stages:\n  only:\n    steps: ["true"]\n');
    for (const args of [['submit', dir], ['doctor']]) {
      const finished = await by.gantry(args);
      expect(finished.code).not.toBe(0);
      for (const word of ['bucket deleted', 'Make the bucket'])
        expect(finished.stdout + finished.stderr).toContain(word);
    }
  });
});
