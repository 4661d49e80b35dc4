/** What Gantry needs of this machine. Each check answers; none throws. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { size } from '../format.js';
import type { DataDir } from '../up/data-dir.js';
import { defaultPorts, isFree } from '../up/ports.js';
import { isAlive } from '../up/process-identity.js';
import { dockerRemedies, findProgram, natsRemedies } from '../up/requirements.js';
import { readUpFile } from '../up/up-file.js';
import { failure, ok, warning, type Check } from './check.js';
import { probeDocker } from './docker-probe.js';

const run = promisify(execFile);

export function checkNode(): Check {
  const [major = 0] = process.versions.node.split('.').map(Number);
  return major >= 20
    ? ok('node', process.versions.node)
    : failure('node', `${process.versions.node} is too old`, 'install Node.js 20 or newer');
}

export async function checkGit(): Promise<Check> {
  const version = await versionOf('git', ['--version'], /(\d+)\.(\d+)\.?\S*/);
  if (version === undefined)
    return failure('git', 'the program git is not on this machine', 'install it: apt-get install git');
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > 2 || (major === 2 && minor >= 30)
    ? ok('git', version)
    : failure('git', `${version} is too old`, 'install git 2.30 or newer');
}

export async function checkNats(): Promise<Check> {
  const program = await findProgram('nats-server');
  if (program === undefined) {
    return failure('nats-server', 'the program nats-server is not on this machine', natsRemedies.join('; '));
  }
  const version = await versionOf(program, ['--version'], /v?(\d+)\.(\d+)\.(\d+)\S*/);
  if (version === undefined)
    return failure('nats-server', `${program} does not say its version`, natsRemedies[0]);
  const [major = 0, minor = 0] = version.replace(/^v/, '').split('.').map(Number);
  if (major < 2 || (major === 2 && minor < 9)) {
    return failure('nats-server', `${version} is too old`, 'install nats-server 2.9 or newer');
  }
  const syncs = major > 2 || minor >= 10;
  return syncs
    ? ok('nats-server', `${version} (${program})`)
    : warning(
        'nats-server',
        `${version} (${program}): accepted runs survive crashes of processes, not a power failure`,
        'against power failure: nats-server 2.10 or newer with `sync_interval: always`, or replicas on three machines',
      );
}

export async function checkDocker(): Promise<Check> {
  const docker = await probeDocker();
  if (docker.kind === 'absent') return failure('docker', docker.reason, dockerRemedies.join('; '));
  const text = `${docker.version}, API ${docker.apiVersion}, storage driver ${docker.storage}`;
  return docker.storage === 'vfs'
    ? warning(
        'docker',
        `${text}: every container copies its whole image`,
        'use overlay2: a file system that supports it below the data root of Docker',
      )
    : ok('docker', text);
}

/** Stages are kept apart by a bridge without inter-container traffic, which is a firewall rule. */
export function checkIsolation(): Check {
  const name = 'isolation';
  try {
    const value = readFileSync('/proc/sys/net/bridge/bridge-nf-call-iptables', 'latin1').trim();
    return value === '1'
      ? ok(name, 'bridged traffic goes through the firewall, so stages cannot reach each other')
      : warning(
          name,
          'bridged traffic passes by the firewall: stages of one agent can reach each other',
          'sysctl -w net.bridge.bridge-nf-call-iptables=1',
        );
  } catch {
    return warning(
      name,
      'whether bridged traffic goes through the firewall cannot be seen here',
      'modprobe br_netfilter, then look again; the agent proves it when it starts',
    );
  }
}

/** Below this agents take no stage. */
const minFreeBytes = 2e9;

export async function checkDisk(data: DataDir): Promise<Check> {
  for (let directory = data.root; ; directory = dirname(directory)) {
    try {
      const stats = await statfs(directory);
      const free = stats.bavail * stats.bsize;
      const text = `${size(free)} free at ${directory}`;
      if (free < minFreeBytes)
        return failure(
          'disk',
          text,
          `agents take no stage below ${size(minFreeBytes)}: make room, or give \`gantry up --data\` another disk`,
        );
      return free < 5 * minFreeBytes
        ? warning('disk', text, 'images, mirrors and artifacts grow: plan for more')
        : ok('disk', text);
    } catch {
      if (directory === dirname(directory))
        return warning('disk', `free space of ${data.root} cannot be read`, 'check that the disk is mounted');
    }
  }
}

/** What `up` keeps running on this machine, or whether its usual ports are free for it. */
export async function checkUp(data: DataDir): Promise<Check> {
  const file = readUpFile(data.upFile);
  const { supervisor, daemons } = file ?? { supervisor: null, daemons: [] };
  if (file !== undefined && supervisor !== null && isAlive(supervisor)) {
    const dead = daemons.filter((daemon) => !isAlive(daemon)).map((daemon) => daemon.name);
    const ports = Object.values(file.ports).join(', ');
    return dead.length === 0
      ? ok('up', `runs ${daemons.map((daemon) => daemon.name).join(', ')} on ports ${ports}`)
      : warning(
          'up',
          `not running now: ${dead.join(', ')}`,
          `it starts them again; their logs are in ${data.logs}`,
        );
  }
  const left = daemons.filter(isAlive).map((daemon) => daemon.name);
  if (left.length > 0) {
    return warning(
      'up',
      `was killed and left ${left.join(', ')} running`,
      '`gantry up` adopts them, `gantry down` stops them',
    );
  }
  const taken: string[] = [];
  for (const name of ['grpc', 'http', 'nats', 's3'] as const) {
    const port = defaultPorts[name];
    if (!(await isFree('127.0.0.1', port))) taken.push(`${port} (${name})`);
  }
  return taken.length === 0
    ? ok('ports', `${Object.values(defaultPorts).join(', ')} are free`)
    : warning(
        'ports',
        `taken: ${taken.join(', ')}`,
        '`gantry up` takes free ones instead; `ss -ltnp` says who has them',
      );
}

/** Connections and files of a busy machine; 1024 is the usual default of a shell. */
const wantedFiles = 4096;

export function checkLimits(): Check {
  let limits: string;
  try {
    limits = readFileSync('/proc/self/limits', 'latin1');
  } catch {
    return ok('limits', 'not looked at on this system');
  }
  const match = /^Max open files\s+(\S+)\s+(\S+)/m.exec(limits);
  const hard = match?.[2] === 'unlimited' ? Infinity : Number(match?.[2] ?? 0);
  return hard >= wantedFiles
    ? ok('limits', `up to ${match?.[2] ?? '?'} open files`)
    : warning(
        'limits',
        `at most ${hard} open files`,
        `raise the hard limit to ${wantedFiles} or more: ulimit -Hn, or LimitNOFILE= of the unit`,
      );
}

async function versionOf(
  program: string,
  args: readonly string[],
  pattern: RegExp,
): Promise<string | undefined> {
  try {
    const { stdout } = await run(program, args, { timeout: 5000 });
    return pattern.exec(stdout)?.[0];
  } catch {
    return undefined; // not there, or not itself
  }
}
