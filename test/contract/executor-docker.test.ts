/** What only containers have: images, users, limits, isolation, services, adoption, and the daemon's absence. */
import { execFile } from 'node:child_process';
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { pino } from 'pino';
import { createDockerExecutor } from '../../agent/executor/docker-executor.js';
import { parseAgentId } from '../../shared/model/ids.js';
import type { TestImage } from '../support/images.js';
import {
  command,
  docker,
  ended,
  kinds,
  ran,
  readLog,
  start,
  until,
  untilLogged,
  Workbench,
} from './executor-bench.js';

const execute = promisify(execFile);
const kind = kinds[0]!;
const exited = (exitCode: number) => ({ kind: 'exited', exitCode });

/** One bench per group, so that limits can differ; its accounts are checked after every test. */
function workbench(options?: Parameters<typeof Workbench.open>[1]): () => Workbench {
  let bench: Workbench | undefined;
  beforeAll(async () => {
    bench = await Workbench.open(kind, options);
  });
  afterEach(() => bench?.expectNothingLeft());
  afterAll(() => bench?.close());
  return () => bench!;
}

describe('images', () => {
  const bench = workbench();

  test('one without bash runs steps by sh -e', async () => {
    const { box } = await bench().box({ image: 'busybox' });
    expect(box.shell).toBe('sh');
    expect((await ran(box, command(1, 'echo a\nfalse\necho b'))).text).toBe('a\n');
    expect((await ran(box, command(2, 'echo hi; exit 9'))).result).toEqual({ exit: exited(9), logBytes: 3 });
  });

  test('an ENTRYPOINT does not get in the way', async () => {
    const { box } = await bench().box({ image: 'entrypoint' });
    expect((await ran(box, command(1, 'echo hi'))).text).toBe('hi\n');
  });

  test.each<[string, TestImage, string | undefined, number, number]>([
    ['USER 1000 of the image', 'user1000', undefined, 1000, 0],
    ['user: by name', 'bash', 'named', 1500, 1500],
    ['user: by numbers', 'bash', '1234:4321', 1234, 4321],
    ['user: unknown to the image', 'bash', '7777', 7777, 0],
  ])('%s: writes workspace, outputs and HOME, keeps the log whole', async (_name, image, user, uid, gid) => {
    const { box, spec } = await bench().box({ image, ...(user === undefined ? {} : { user }) });
    expect(box.owner).toEqual({ uid, gid });
    const run =
      'id -u; id -g; echo x >file; echo A=1 >>"$GANTRY_ENV"; echo y >"$HOME/z"; echo e >/dev/stderr; exit 5';
    const { result, text } = await ran(box, command(1, run));
    expect(result.exit).toEqual(exited(5));
    expect(text).toBe(`${uid}\n${gid}\ne\n`);
    expect(await box.readEnv()).toEqual({ A: '1' });
    const file = await stat(join(spec.slot.workspace, 'file'));
    expect([file.uid, file.gid]).toEqual([uid, gid]);
  });

  test('without setsid, without a shell, with an unknown user: each says what is wrong', async () => {
    await expect(bench().box({ image: 'noSetsid' })).rejects.toMatchObject({
      failure: {
        kind: 'image-unavailable',
        transient: false,
        message: expect.stringContaining('no "setsid"') as string,
      },
    });
    await expect(bench().box({ image: 'noShell' })).rejects.toMatchObject({
      failure: {
        kind: 'image-unavailable',
        transient: false,
        message: expect.stringContaining('no usable "sh"') as string,
      },
    });
    await expect(bench().box({ user: 'nobody-here' })).rejects.toMatchObject({
      failure: { kind: 'invalid-pipeline', message: expect.stringContaining('nobody-here') as string },
    });
  });

  test('git in a step accepts the workspace, as root and as another user', async () => {
    for (const user of ['0', '1000']) {
      const { box } = await bench().box({ image: 'python', user });
      const run =
        'git init -q . && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m one && git log --format=%s';
      expect((await ran(box, command(1, run))).text).toContain('one\n');
    }
  });
});

describe('limits', () => {
  const memoryBytes = 64 * 1024 * 1024;
  const bench = workbench({ limits: { pids: 30, memoryBytes } });

  test('a step killed for memory is told so; a later failure is its own', async () => {
    const { box } = await bench().box();
    const { result } = await ran(box, command(1, 'head -c 300m /dev/zero | tail -c 200m | wc -c'));
    expect(result.exit).toEqual({
      kind: 'failed',
      failure: { kind: 'out-of-memory', step: 1, limitBytes: memoryBytes },
    });
    expect((await ran(box, command(2, 'exit 137'))).result.exit).toEqual(exited(137));
  });

  test('a step that survives the killing of a child keeps its own success', async () => {
    const { box } = await bench().box();
    const run = 'head -c 300m /dev/zero | tail -c 200m | wc -c || true; echo fine';
    expect((await ran(box, command(1, run))).result.exit).toEqual(exited(0));
  });

  test('a fork bomb meets the pids limit, and the next step runs', async () => {
    const { box } = await bench().box({ image: 'busybox' });
    const bomb = await ran(box, command(1, 'for i in $(seq 60); do sleep 3 & done'));
    expect(bomb.text).toMatch(/can't fork/);
    expect(bomb.result.notes?.[0]).toMatch(/reached its limit of 30 processes: \d+ could not be started/);
    const running = await start(box, command(2, 'true'));
    await running.terminate(0);
    await ended(running);
  });
});

describe('isolation', () => {
  const bench = workbench();

  test('boxes cannot reach each other', async () => {
    const { box: one } = await bench().box();
    const { box: two } = await bench().box();
    const address = (
      await ran(one, command(1, "ip -4 addr show eth0 | awk '/inet/{print $2}' | cut -d/ -f1"))
    ).text.trim();
    expect(address).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
    await ran(one, command(2, 'nc -l -p 8080 -e echo served >/dev/null 2>&1 &'));
    // It does listen: the box itself gets through.
    const itself = `for i in $(seq 50); do nc -w 1 ${address} 8080 </dev/null && break; sleep 0.1; done`;
    expect((await ran(one, command(3, itself))).text).toContain('served');
    await ran(one, command(4, 'nc -l -p 8080 -e echo served >/dev/null 2>&1 &'));
    const { result, text } = await ran(two, command(1, `nc -w 2 ${address} 8080 </dev/null`));
    expect(text).not.toContain('served');
    expect(result.exit).not.toEqual(exited(0));
  });

  test('no raw sockets, no device nodes, not privileged, no Docker socket', async () => {
    const { box } = await bench().box();
    expect((await ran(box, command(1, 'ping -c 1 127.0.0.1'))).result.exit).not.toEqual(exited(0));
    expect((await ran(box, command(2, 'busybox mknod n c 1 3'))).result.exit).not.toEqual(exited(0));
    expect((await ran(box, command(3, 'mount -t tmpfs none /tmp'))).result.exit).not.toEqual(exited(0));
    expect((await ran(box, command(4, 'ls /var/run/docker.sock /run/docker.sock'))).result.exit).not.toEqual(
      exited(0),
    );
  });

  test('the metadata address answers nothing but name service', async () => {
    const { box } = await bench().box();
    // The kernel's own word, from the box's network namespace, before anything is sent to that address.
    const [id] = await bench().containers();
    const { State: state } = await docker.getContainer(id!).inspect();
    const routeTo = (...what: string[]) =>
      execute('nsenter', [
        '-t',
        String(state.Pid),
        '-n',
        'ip',
        'route',
        'get',
        '169.254.169.254',
        'ipproto',
        ...what,
      ]);
    await expect(routeTo('tcp', 'dport', '80')).rejects.toMatchObject({
      stderr: expect.stringMatching(/unreachable/i) as string,
    });
    expect((await routeTo('udp', 'dport', '53')).stdout).toContain('via');
    const { result, text } = await ran(box, command(1, 'nc -w 5 169.254.169.254 80 </dev/null'));
    expect(result.exit).toEqual(exited(1));
    expect(text).toMatch(/unreachable/i);
  });

  test('a step cannot change its scripts, and secrets in them leave with the box', async () => {
    const { box } = await bench().box();
    const { result } = await ran(box, command(1, 'echo x >/gantry/in/2.sh', { env: { SECRET: 'hunter2' } }));
    expect(result.exit).not.toEqual(exited(0));
    const scripts = join('/dev/shm', `gantry-${bench().agent}`);
    expect((await execute('grep', ['-rl', 'hunter2', scripts])).stdout).toContain('1.sh');
    await box.remove();
    await expect(execute('grep', ['-rl', 'hunter2', scripts])).rejects.toMatchObject({ code: 1 });
  });
});

describe('lies', () => {
  const bench = workbench();

  test('a forged exit file ends only the step that forged it', async () => {
    const { box } = await bench().box();
    const run = 'id=$GANTRY_STEP_ID; echo 0 >/gantry/out/$id.exit; echo claimed; sleep 60';
    const { result, text } = await ran(box, command(1, run));
    expect(text).toBe('claimed\n');
    expect(result).toMatchObject({ exit: exited(0), incomplete: expect.any(String) as string });
    expect((await ran(box, command(2, 'echo honest; exit 3'))).result).toEqual({
      exit: exited(3),
      logBytes: 7,
    });
  });

  test('a marker read out of the supervisor ends the log where it was printed, and no other step', async () => {
    const { box } = await bench().box({ image: 'python' });
    const run = String.raw`python3 - <<'END'
import os, re, time
id = os.environ['GANTRY_STEP_ID'].encode()
maps = [line.split()[0] for line in open('/proc/1/maps') if 'rw-p' in line]
found = set()
with open('/proc/1/mem', 'rb', 0) as memory:
    for span in maps:
        low, high = (int(part, 16) for part in span.split('-'))
        try:
            memory.seek(low)
            found |= set(re.findall(rb'[0-9a-f]{24}', memory.read(high - low)))
        except OSError:
            pass
print('found', len(found) > 0, flush=True)
for marker in found:
    os.write(1, marker + b' 0\n')
time.sleep(60)
END`;
    const running = await start(box, command(1, run));
    const result = await Promise.race([
      running.finished,
      new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 5000)),
    ]);
    // Where reading another process's memory is forbidden the step simply runs on.
    if (result === undefined) await running.terminate(0);
    await ended(running);
    expect((await ran(box, command(2, 'echo honest; exit 3'))).result).toEqual({
      exit: exited(3),
      logBytes: 7,
    });
  });

  test('a step that truncates or replaces its log harms nobody else', async () => {
    const { box } = await bench().box();
    const run =
      'id=$GANTRY_STEP_ID; echo one; rm /gantry/out/$id.log; ln -s /etc/passwd /gantry/out/$id.log; echo two';
    const { result, text } = await ran(box, command(1, run));
    expect(result.exit).toEqual(exited(0));
    expect(text).toBe('one\ntwo\n');
    const cut = 'seq 1000; sleep 0.2; : >/gantry/out/$GANTRY_STEP_ID.log; echo end';
    const truncating = await ran(box, command(2, cut));
    expect(truncating.result).toMatchObject({
      exit: exited(0),
      logBytes: 3893,
      incomplete: expect.stringContaining('cut its own log') as string,
    });
    expect((await ran(box, command(3, 'echo three'))).text).toBe('three\n');
  });
});

describe('services', () => {
  const bench = workbench();
  const server = (name: string, more: object = {}) => ({
    name,
    image: '',
    env: { GREETING: `hello from ${name}` },
    command: [
      'sh',
      '-c',
      'mkdir /www; echo "$GREETING" >/www/index.html; sleep 0.5; exec httpd -f -p 8000 -h /www',
    ],
    ...more,
  });
  const withImages = async (services: ReturnType<typeof server>[]) => {
    const image = await bench().image('busybox');
    return services.map((service) => ({ ...service, image }));
  };

  test('are reached by their names once they are ready, beside the way out', async () => {
    const services = await withImages([
      server('db', { ready: 'wget -q -O - http://127.0.0.1:8000/' }),
      server('cache'),
    ]);
    const { box } = await bench().box({ services });
    expect((await ran(box, command(1, 'wget -q -O - http://db:8000/'))).text).toBe('hello from db\n');
    const later = 'for i in $(seq 50); do wget -q -O - http://cache:8000/ && break; sleep 0.1; done';
    expect((await ran(box, command(2, later))).text).toContain('hello from cache\n');
    expect((await ran(box, command(3, 'ip route'))).text).toMatch(/default via .* dev eth0/);
    await box.freeze();
    await box.remove();
    expect(await bench().containers()).toEqual([]);
  });

  test('are out of reach of other boxes', async () => {
    const services = await withImages([server('db', { ready: 'wget -q -O - http://127.0.0.1:8000/' })]);
    const { box: one } = await bench().box({ services });
    const { box: two } = await bench().box();
    const address = /Address.*?:\s+(10\.\d+\.\d+\.\d+)/.exec(
      (await ran(one, command(1, 'nslookup db || true'))).text.split('Name:')[1] ?? '',
    )?.[1];
    expect(address).toBeDefined();
    expect((await ran(two, command(1, `wget -T 2 -q -O - http://${address}:8000/`))).result.exit).not.toEqual(
      exited(0),
    );
    expect((await ran(two, command(2, 'wget -T 2 -q -O - http://db:8000/'))).result.exit).not.toEqual(
      exited(0),
    );
  });

  test('one that ends, and one that cannot start, fail the stage with their own words', async () => {
    const ending = await withImages([
      server('db', { command: ['sh', '-c', 'echo no space >&2; exit 3'], ready: 'false' }),
    ]);
    await expect(bench().box({ services: ending })).rejects.toMatchObject({
      failure: {
        kind: 'service-failed',
        service: 'db',
        message: expect.stringMatching(/ended with code 3[^]*no space/) as string,
      },
    });
    const missing = await withImages([server('db', { command: ['/no/such/program'] })]);
    await expect(bench().box({ services: missing })).rejects.toMatchObject({
      failure: {
        kind: 'service-failed',
        service: 'db',
        message: expect.stringContaining('could not be started') as string,
      },
    });
    expect(await bench().containers()).toEqual([]);
  });

  test('opening is given up at once when it is aborted, and leaves nothing', async () => {
    const services = await withImages([server('db', { ready: 'false' })]);
    const abort = new AbortController();
    const opening = bench().box({ services, signal: abort.signal });
    await until(async () => (await bench().containers()).length === 2, 'box and service');
    const began = performance.now();
    abort.abort(new Error('canceled by a person'));
    await expect(opening).rejects.toThrow('canceled by a person');
    expect(performance.now() - began).toBeLessThan(5000);
    expect(await bench().containers()).toEqual([]);
    expect(await bench().networks()).toEqual(['shared-network']);
  });
});

describe('adoption', () => {
  const bench = workbench();
  const lines = 200_000;
  const step = command(1, `seq ${lines}; sleep 1; seq ${lines}; exit 4`);

  test('a step that runs on without its agent: its log exact, its code, and the next step', async () => {
    const { box, spec } = await bench().box();
    const handle = await box.prepareStep(step);
    const before = await box.startStep(step, handle);
    await untilLogged(before, '\n1000\n');
    // The first process goes; what it held (attach, descriptors) goes with it.
    await before.log.close();
    await bench().executor.close();
    bench().executor = bench().newExecutor();
    expect(await bench().executor.findBoxes()).toEqual([{ ref: spec.ref, token: spec.token }]);
    const adopted = await bench().executor.adoptBox(spec);
    expect(adopted).toMatchObject({ shell: 'bash', owner: box.owner, workspacePath: '/workspace' });
    const { result, text } = await ended(await adopted!.resumeStep(step, handle));
    expect(result.exit).toEqual(exited(4));
    const once = `${Array.from({ length: lines }, (_, i) => i + 1).join('\n')}\n`;
    expect(text === once + once).toBe(true);
    expect((await ran(adopted!, command(2, 'echo A=1 >>"$GANTRY_ENV"; echo next'))).text).toBe('next\n');
    expect(await adopted!.readEnv()).toEqual({ A: '1' });
    await adopted!.remove();
  });

  test('a step that ended meanwhile, one that was never started, and a box that is gone', async () => {
    const { box, spec } = await bench().box();
    const quick = command(1, 'echo quick; echo B=2 >>"$GANTRY_ENV"; exit 6');
    const handle = await box.prepareStep(quick);
    const first = await box.startStep(quick, handle);
    await first.finished;
    await first.log.close();
    const second = command(2, 'echo second');
    const never = await box.prepareStep(second);
    await bench().executor.close();
    bench().executor = bench().newExecutor();
    const adopted = await bench().executor.adoptBox(spec);
    const { result, text } = await ended(await adopted!.resumeStep(quick, handle));
    expect(result.exit).toEqual(exited(6));
    expect(text).toBe('quick\n');
    expect(await adopted!.readEnv()).toEqual({ B: '2' });
    expect((await ended(await adopted!.resumeStep(second, never))).text).toBe('second\n');
    await adopted!.remove();
    expect(await bench().executor.adoptBox(spec)).toBeUndefined();
    expect(await bench().executor.findBoxes()).toEqual([]);
  });

  test('a step is never started twice: only where it certainly was not yet', async () => {
    const { box, spec } = await bench().box();
    const late = command(1, 'echo late');
    const handle = await box.prepareStep(late);
    // The agent died after it made the log.
    await writeFile(join(spec.slot.out, `${String(handle['id'])}.log`), '');
    expect((await ended(await box.resumeStep(late, handle))).text).toBe('late\n');
    // It died when it was about to tell the supervisor.
    const next = command(2, 'echo next');
    const other = await box.prepareStep(next);
    await writeFile(join(spec.slot.out, `${String(other['id'])}.log`), '');
    await appendFile(join(spec.slot.root, 'steps'), `${String(other['id'])}\n`);
    await expect(box.resumeStep(next, other)).rejects.toMatchObject({
      failure: {
        kind: 'box-broken',
        message: expect.stringContaining('whether it ran is not known') as string,
      },
    });
    // A step removed its log while the agent was away.
    const third = command(3, 'rm /gantry/out/*.log');
    const removing = await box.prepareStep(third);
    await ended(await box.startStep(third, removing));
    await expect(box.resumeStep(third, removing)).rejects.toMatchObject({ failure: { kind: 'box-broken' } });
  });

  test('a frozen box, and one whose container ended while nobody watched', async () => {
    const { box, spec } = await bench().box();
    await ran(box, command(1, 'echo one'));
    await box.freeze();
    await bench().executor.close();
    bench().executor = bench().newExecutor();
    const frozen = await bench().executor.adoptBox(spec);
    await frozen!.freeze();
    await frozen!.remove();

    const { box: other, spec: otherSpec } = await bench().box();
    const sleeping = command(1, 'echo up; sleep 60');
    const handle = await other.prepareStep(sleeping);
    const before = await other.startStep(sleeping, handle);
    await untilLogged(before, 'up');
    await before.log.close();
    await bench().executor.close();
    await docker.getContainer((await bench().containers())[0]!).kill();
    bench().executor = bench().newExecutor();
    const dead = await bench().executor.adoptBox(otherSpec);
    const running = await dead!.resumeStep(sleeping, handle);
    const result = await running.finished;
    expect(result.exit).toMatchObject({ kind: 'failed', failure: { kind: 'box-broken' } });
    expect((await readLog(running, result.logBytes)).toString()).toBe('up\n');
    await running.log.close();
    await dead!.remove();
  });

  test('a sweep removes boxes of this agent only', async () => {
    const other = await Workbench.open(kind);
    const { box } = await other.box();
    await bench().box();
    await bench().executor.sweep(new Set());
    expect(await bench().containers()).toEqual([]);
    expect((await ran(box, command(1, 'echo alive'))).text).toBe('alive\n');
    await other.expectNothingLeft();
    await other.close();
  });
});

describe('the connection to the daemon', () => {
  test('may be lost: the step does not notice, and the next one runs', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'gantry-proxy-'));
    const socketPath = join(directory, 'docker.sock');
    const proxy = new Proxy(socketPath);
    await proxy.open();
    const bench = await Workbench.open(kind, { socketPath });
    const { box } = await bench.box();
    const running = await start(
      box,
      command(1, 'echo one; while [ ! -e go ]; do sleep 0.05; done; echo two; exit 3'),
    );
    await untilLogged(running, 'one\n');
    await proxy.close();
    // Longer than it takes to notice; what the agent wants of the daemon meanwhile waits for it.
    await new Promise((resolve) => setTimeout(resolve, 500));
    await proxy.open();
    await writeFile(
      join(bench.dataDirectory, (await readdir(bench.dataDirectory))[0]!, 'workspace', 'go'),
      '',
    );
    const { result, text } = await ended(running);
    expect(result.exit).toEqual(exited(3));
    expect(text).toBe('one\ntwo\n');
    expect((await ran(box, command(2, 'echo next'))).text).toBe('next\n');
    await bench.expectNothingLeft();
    await bench.close();
    await proxy.close();
    await rm(directory, { recursive: true });
  });

  test('a network that was removed while no box was on it is made again', async () => {
    const bench = await Workbench.open(kind);
    await (await bench.box()).box.remove();
    for (const { Id } of await docker.listNetworks({ filters: { label: [`gantry.agent=${bench.agent}`] } })) {
      await docker.getNetwork(Id).remove();
    }
    const { box } = await bench.box();
    expect((await ran(box, command(1, 'echo fine'))).text).toBe('fine\n');
    await bench.expectNothingLeft();
    await bench.close();
  });
});

/** A way to the daemon that can be cut. */
class Proxy {
  readonly #path: string;
  #server: Server | undefined;
  readonly #sockets = new Set<Socket>();

  constructor(path: string) {
    this.#path = path;
  }

  async open(): Promise<void> {
    const server = createServer((near) => {
      const far = connect('/var/run/docker.sock');
      for (const socket of [near, far]) {
        this.#sockets.add(socket);
        socket.on('error', () => undefined);
        socket.on('close', () => {
          this.#sockets.delete(socket);
          near.destroy();
          far.destroy();
        });
      }
      near.pipe(far);
      far.pipe(near);
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.#path, resolve));
  }

  async close(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

describe('what is not there', () => {
  test('a missing daemon is told with the remedy', async () => {
    const executor = createDockerExecutor({
      agentId: parseAgentId('aaaaaaaaaaaaaaaa')!,
      dataDirectory: '/nowhere',
      localImages: [],
      limits: { pids: 10 },
      log: pino({ level: 'silent' }),
      docker: { socketPath: '/nowhere/docker.sock' },
    });
    await expect(executor.check()).rejects.toMatchObject({
      failure: {
        kind: 'box-broken',
        message: expect.stringMatching(/cannot be reached.*ENOENT.*systemctl start docker/) as string,
      },
    });
    await executor.close();
  });

  test('a full disk is ours, not the step’s', async () => {
    const mount = await mkdtemp(join(tmpdir(), 'gantry-full-'));
    await execute('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'none', mount]);
    const bench = await Workbench.open(kind);
    try {
      const spec = await bench.spec();
      const slot = { root: mount, workspace: join(mount, 'workspace'), out: join(mount, 'out') };
      await mkdir(slot.workspace);
      await mkdir(slot.out);
      const box = await bench.executor.openBox({ ...spec, slot }, new AbortController().signal);
      const running = await start(box, command(1, 'yes; echo ended with $?'));
      const result = await running.finished;
      expect(result.exit).toMatchObject({
        kind: 'failed',
        failure: { kind: 'disk-full', agent: bench.agent },
      });
      await running.log.close();
      await box.remove();
      await bench.expectNothingLeft();
    } finally {
      await bench.close();
      await execute('umount', [mount]);
      await rm(mount, { recursive: true });
    }
  });

  test('the daemon’s own list of images is left as it was by check', async () => {
    const bench = await Workbench.open(kind);
    const images = async () => (await docker.listImages({ all: true })).length;
    const before = await images();
    await bench.executor.check();
    expect(await images()).toBe(before);
    await bench.close();
    await expect(readFile(join(bench.dataDirectory, 'x'))).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
