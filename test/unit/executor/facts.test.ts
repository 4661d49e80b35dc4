/** Small pure pieces of the executors: what the kernel and the daemon say, and what they are told. */
import { describe, expect, test } from 'vitest';
import { parseBoxRecord } from '../../../agent/executor/box-record.js';
import { groupDirectory } from '../../../agent/executor/cgroup-counts.js';
import { payloadText } from '../../../agent/executor/docker-frames.js';
import { isTransient } from '../../../agent/executor/docker-images.js';
import {
  boxContainer,
  boxPaths,
  foundBy,
  labelsOf,
  serviceContainer,
} from '../../../agent/executor/docker-options.js';
import {
  canonicalName,
  isImageReference,
  matchesLocal,
  parseImageReference,
  repoDigestFor,
  withTag,
} from '../../../agent/executor/image-reference.js';
import { parseStat, processesOfStep, variableIn } from '../../../agent/executor/processes.js';
import { PullTally } from '../../../agent/executor/pull-progress.js';
import { Limit } from '../../../shared/async/limit.js';
import { parseHandle } from '../../../agent/executor/step-handle.js';
import { candidateSubnet, formatSubnet, overlap, parseRoutes } from '../../../agent/executor/subnets.js';
import { parseAgentId, parseRunId, parseToken } from '../../../shared/model/ids.js';

describe('/proc', () => {
  test('session and start of a process whose name holds spaces and parentheses', () => {
    const rest = '1 34 56 0 -1 4194560 108 0 0 0 0 1 0 0 20 0 1 0 789 8937472 1037';
    expect(parseStat(`12 (a) b (c)) S ${rest}`)).toEqual({ session: 56, startedAt: 789 });
    expect(parseStat(`12 (zombie) Z ${rest}`)).toBeUndefined();
    expect(parseStat('')).toBeUndefined();
  });

  test('a variable of an environment, by its whole name', () => {
    const environ = 'XGANTRY_STEP_ID=no\0GANTRY_STEP_ID=3-ab=c\0';
    expect(variableIn(environ, 'GANTRY_STEP_ID')).toBe('3-ab=c');
    expect(variableIn(environ, 'GANTRY')).toBeUndefined();
  });

  test('of a step is what is marked, and what is in a session with that', () => {
    const all = [
      { pid: 1, session: 10, stepId: 'a' },
      { pid: 2, session: 10 },
      { pid: 3, session: 11, stepId: 'a' },
      { pid: 4, session: 12, stepId: 'b' },
      { pid: 5, session: 12 },
    ];
    expect(processesOfStep(all, 'a').map(({ pid }) => pid)).toEqual([1, 2, 3]);
  });

  test('control groups of version 1, joined controllers, and version 2', () => {
    const one = '9:pids:/docker/x\n4:memory:/docker/x\n2:cpu,cpuacct:/docker/x\n0::/y\n';
    expect(groupDirectory(one, 'memory')).toBe('/sys/fs/cgroup/memory/docker/x');
    expect(groupDirectory(one, 'cpuacct')).toBe('/sys/fs/cgroup/cpuacct/docker/x');
    expect(groupDirectory('0::/system.slice/docker-x.scope\n', 'memory')).toBe(
      '/sys/fs/cgroup/system.slice/docker-x.scope',
    );
    expect(groupDirectory('', 'memory')).toBeUndefined();
  });
});

describe('subnets', () => {
  const table = [
    'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT',
    'eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0',
    'docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0',
    'vpn0\t0000D50A\t00000000\t0001\t0\t0\t0\t0080FFFF\t0\t0\t0',
    '',
  ].join('\n');

  test('the kernel’s routes, the default one aside', () => {
    expect(parseRoutes(table).map(formatSubnet)).toEqual(['172.17.0.0/16', '10.213.0.0/17']);
  });

  test('what the machine routes elsewhere is not taken', () => {
    const routes = parseRoutes(table);
    const at = (start: number) => candidateSubnet({ start, attempt: 0, bits: 28, routes });
    expect(at(0)).toBeUndefined();
    expect(formatSubnet(at(4095)!)).toBe('10.213.255.240/28');
    expect(formatSubnet(candidateSubnet({ start: 4095, attempt: 1, bits: 28, routes: [] })!)).toBe(
      '10.213.0.0/28',
    );
    expect(formatSubnet(candidateSubnet({ start: 63, attempt: 0, bits: 22, routes })!)).toBe(
      '10.213.252.0/22',
    );
  });

  test('overlap is containment, either way', () => {
    const net = (base: number, bits: number) => ({ base: base >>> 0, bits });
    expect(overlap(net(0x0ad50000, 16), net(0x0ad5fff0, 28))).toBe(true);
    expect(overlap(net(0x0ad5fff0, 28), net(0x0ad50000, 16))).toBe(true);
    expect(overlap(net(0x0ad50000, 28), net(0x0ad50010, 28))).toBe(false);
  });
});

describe('image references', () => {
  test.each([
    ['python', { name: 'python' }],
    ['python:3.12', { name: 'python', tag: '3.12' }],
    ['localhost:5000/app', { name: 'localhost:5000/app' }],
    ['localhost:5000/app:1', { name: 'localhost:5000/app', tag: '1' }],
    [`a/b@sha256:${'0'.repeat(64)}`, { name: 'a/b', digest: `sha256:${'0'.repeat(64)}` }],
  ])('%s', (text, expected) => {
    expect(parseImageReference(text)).toEqual(expected);
    expect(isImageReference(text)).toBe(true);
  });

  test.each(['', 'No/Upper', 'a b', 'a:', '-a', 'a//b', '../x', `a@sha256:abc`, 'a;rm -rf /'])(
    '%j names no image',
    (text) => {
      expect(isImageReference(text)).toBe(false);
    },
  );

  test('one name in its forms', () => {
    expect(canonicalName('python')).toBe('docker.io/library/python');
    expect(canonicalName('owner/app')).toBe('docker.io/owner/app');
    expect(canonicalName('ghcr.io/owner/app')).toBe('ghcr.io/owner/app');
    expect(repoDigestFor('python:3', ['other@sha256:1', 'docker.io/library/python@sha256:2'])).toBe(
      'docker.io/library/python@sha256:2',
    );
    expect(withTag('localhost:5000/app')).toBe('localhost:5000/app:latest');
  });

  test('patterns of local images: a star is anything, no tag is every tag, dots are dots', () => {
    expect(matchesLocal('gantry/app:1', ['*'])).toBe(true);
    expect(matchesLocal('gantry/app:1', ['gantry/*'])).toBe(true);
    expect(matchesLocal('gantry/app:1', ['gantry/app'])).toBe(true);
    expect(matchesLocal('gantry/app', ['gantry/app:latest'])).toBe(true);
    expect(matchesLocal('gantry/app:1', ['gantry/app:2', 'gantry/ap'])).toBe(false);
    expect(matchesLocal('axb', ['a.b'])).toBe(false);
    expect(matchesLocal('app', [])).toBe(false);
  });

  test.each([
    ['dial tcp 1.2.3.4:443: connect: connection refused', 500, true],
    ['lookup registry-1.docker.io: no such host', 500, true],
    ['toomanyrequests: You have reached your pull rate limit', 500, true],
    ['manifest unknown: manifest unknown', 500, false],
    ['unauthorized: authentication required', 500, false],
    ['invalid reference format', 400, false],
  ])('%s', (words, status, transient) => {
    expect(isTransient(words, status)).toBe(transient);
  });

  test('a pull’s progress goes forward, and has no fraction before all sizes are known', () => {
    const tally = new PullTally('app');
    expect(tally.progress).toEqual({ activity: 'pulling app' });
    tally.add({ status: 'Pulling from app', id: undefined as never });
    tally.add({ status: 'Pulling fs layer', id: 'a' });
    tally.add({ status: 'Pulling fs layer', id: 'b' });
    tally.add({ status: 'Downloading', id: 'a', progressDetail: { current: 50, total: 100 } });
    expect(tally.progress).toEqual({ activity: 'pulling app: 0 of 2 layers' });
    tally.add({ status: 'Downloading', id: 'b', progressDetail: { current: 0, total: 100 } });
    expect(tally.progress.fraction).toBe(0.25);
    tally.add({ status: 'Download complete', id: 'a' });
    tally.add({ status: 'Pull complete', id: 'a' });
    tally.add({ status: 'Already exists', id: 'b' });
    expect(tally.progress).toEqual({ activity: 'pulling app: 2 of 2 layers', fraction: 1 });
  });
});

describe('what the daemon is told', () => {
  const owned = {
    agent: parseAgentId('aaaaaaaaaaaaaaaa')!,
    ref: { run: parseRunId('bbbbbbbbbbbbbbbb')!, stage: 2, attempt: 3 },
    token: parseToken(4)!,
  };

  test('labels come back as what they were made of, and strange ones are nobody’s', () => {
    expect(foundBy(labelsOf(owned, 'box'))).toEqual({ ref: owned.ref, token: owned.token });
    expect(foundBy({})).toBeUndefined();
    expect(foundBy({ ...labelsOf(owned, 'box'), 'gantry.attempt': 'bbbbbbbbbbbbbbbb/0/1' })).toBeUndefined();
    expect(foundBy({ ...labelsOf(owned, 'box'), 'gantry.token': '-1' })).toBeUndefined();
  });

  test('a box is confined, keeps no log of its own, and outlives a killed step', () => {
    const options = boxContainer({
      owned,
      image: 'sha256:x',
      networkId: 'net',
      limits: { pids: 100, memoryBytes: 1024, cpus: 1.5 },
      directories: { in: '/i', out: '/o', home: '/h', workspace: '/w' },
    });
    expect(options).toMatchObject({
      Cmd: [],
      OpenStdin: true,
      StdinOnce: false,
      Healthcheck: { Test: ['NONE'] },
    });
    expect(options.User).toBeUndefined();
    const host = options.HostConfig!;
    expect(host).toMatchObject({
      Init: false,
      CapDrop: ['MKNOD', 'NET_RAW'],
      LogConfig: { Type: 'none' },
      PidsLimit: 100,
      Memory: 1024,
      MemorySwap: 1024,
      NanoCpus: 1_500_000_000,
    });
    expect(host.Privileged).toBeUndefined();
    expect(host.Mounts?.find((mount) => mount.Target === boxPaths.in)?.ReadOnly).toBe(true);
    expect(JSON.stringify(options)).not.toContain('docker.sock');
  });

  test('a service without a command runs the image’s own', () => {
    const service = { name: 'db', image: 'sha256:x', env: { A: 'b=c' } };
    const options = serviceContainer({ owned, service, networkId: 'net', limits: { pids: 100 } });
    expect(options).not.toHaveProperty('Cmd');
    expect(options.Env).toEqual(['A=b=c']);
    expect(options.NetworkingConfig?.EndpointsConfig?.['net']).toEqual({ Aliases: ['db'] });
  });

  test('frames, the last one cut', () => {
    const frame = (stream: number, text: string): Buffer => {
      const header = Buffer.alloc(8);
      header[0] = stream;
      header.writeUInt32BE(Buffer.byteLength(text), 4);
      return Buffer.concat([header, Buffer.from(text)]);
    };
    expect(
      payloadText(Buffer.concat([frame(1, 'né'), frame(2, 'w'), frame(1, 'cut off').subarray(0, 11)])),
    ).toBe('néwcut');
    expect(payloadText(frame(1, 'x').subarray(0, 5))).toBe('');
  });
});

describe('what the agent keeps', () => {
  test('a torn or foreign record is none', () => {
    const record = {
      container: 'c',
      inDirectory: '/i',
      owner: { uid: 1, gid: 2 },
      shell: { name: 'sh', path: 'sh' },
    };
    expect(parseBoxRecord(JSON.stringify(record))).toEqual(record);
    expect(parseBoxRecord(JSON.stringify(record).slice(0, 30))).toBeUndefined();
    expect(parseBoxRecord('{}')).toBeUndefined();
    expect(parseBoxRecord('')).toBeUndefined();
  });

  test('a handle whose id could be a path is refused', () => {
    const handle = { number: 1, id: '1-0123456789abcdef', marker: '0'.repeat(24), oomKills: 2 };
    expect(parseHandle(handle)).toEqual({
      number: 1,
      id: handle.id,
      marker: handle.marker,
      before: { oomKills: 2 },
    });
    expect(() => parseHandle({ ...handle, id: '../x' })).toThrow('not the handle');
    expect(() => parseHandle({ ...handle, marker: 'short' })).toThrow('not the handle');
    expect(() => parseHandle({})).toThrow('not the handle');
  });
});

test('the start queue runs no more than its width at once, in order, and survives failures', async () => {
  const queue = new Limit(2);
  let running = 0;
  let most = 0;
  const order: number[] = [];
  const releases: (() => void)[] = [];
  const tasks = Array.from({ length: 6 }, (_, index) =>
    queue.run(async () => {
      running += 1;
      most = Math.max(most, running);
      order.push(index);
      await new Promise<void>((resolve) => releases.push(resolve));
      running -= 1;
      if (index === 1) throw new Error('one fails');
    }),
  );
  const settled = Promise.allSettled(tasks);
  for (let released = 0; released < 6; released += 1) {
    while (releases.length === 0) await new Promise((resolve) => setImmediate(resolve));
    releases.shift()?.();
  }
  expect((await settled).map(({ status }) => status === 'fulfilled')).toEqual([
    true,
    false,
    true,
    true,
    true,
    true,
  ]);
  expect(most).toBe(2);
  expect(order).toEqual([0, 1, 2, 3, 4, 5]);
});
