/**
 * Machines for a test: each a network namespace with an address of its own, all on one bridge that stands in a
 * namespace too. Nothing of it is on the host's network, so any private address may be used, and one machine reaches
 * another only as it would over a wire. Files, processes and the Docker daemon's socket are the host's. Needs root.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from './eventually.js';
import { cleanEnv, runProgram, type Finished, type RunOptions } from './installation.js';

export interface Machine {
  readonly name: string;
  readonly address: string;
  /** Its home directory; a command without `cwd` runs there. */
  readonly home: string;
  /** Runs a script of bash to its end. */
  run(script: string, options?: RunOptions): Promise<Finished>;
  /** Starts one that stays; it is ended with the network. */
  start(script: string, env?: Readonly<Record<string, string>>): Running;
}

export interface Running {
  readonly child: ChildProcess;
  readonly isAgent: boolean;
  /** What it printed until now, both streams. */
  said(): string;
  /** Waits until it has printed this; throws what it printed when it ended instead. */
  says(text: string | RegExp, withinMs?: number): Promise<void>;
  /** To the whole group of processes. */
  signal(signal: NodeJS.Signals): void;
  readonly ended: Promise<number>;
}

export interface Network {
  machine(name: string): Machine;
  dispose(): Promise<void>;
}

async function ip(...args: readonly string[]): Promise<void> {
  const finished = await runProgram('ip', args);
  if (finished.code !== 0) throw new Error(`ip ${args.join(' ')}: ${finished.stderr}`);
}

/** `addresses`: of each machine by its name, all in one /24. `env`: of all that runs on them. */
export async function makeNetwork(
  addresses: Readonly<Record<string, string>>,
  env: (machine: { readonly name: string; readonly home: string }) => Readonly<Record<string, string>>,
): Promise<Network> {
  const id = `gt${randomBytes(3).toString('hex')}`;
  const root = await mkdtemp(join(tmpdir(), 'gantry-net-'));
  const spaces: string[] = [];
  const running: Running[] = [];
  const addSpace = async (name: string): Promise<string> => {
    const space = `${id}-${name}`;
    await ip('netns', 'add', space);
    spaces.push(space);
    return space;
  };

  const dispose = async (): Promise<void> => {
    for (const one of running) {
      one.signal('SIGTERM');
      // As `gantry down` does: an agent then ends what it runs instead of handing it over.
      if (one.isAgent) one.signal('SIGTERM');
    }
    const late = new Promise((resolve) => setTimeout(resolve, 15_000).unref());
    await Promise.race([Promise.all(running.map(({ ended }) => ended)), late]);
    for (const one of running) one.signal('SIGKILL');
    await Promise.all(running.map(({ ended }) => ended));
    for (const space of spaces.reverse()) await ip('netns', 'del', space);
    await rm(root, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  };

  const machines = new Map<string, Machine>();
  try {
    const wires = await addSpace('bridge');
    await ip('-n', wires, 'link', 'add', 'bridge', 'type', 'bridge');
    await ip('-n', wires, 'link', 'set', 'bridge', 'up');
    let port = 0;
    for (const [name, address] of Object.entries(addresses)) {
      const space = await addSpace(name);
      port += 1;
      const plug = `port${port}`;
      await ip('-n', space, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', plug, 'netns', wires);
      await ip('-n', wires, 'link', 'set', plug, 'master', 'bridge', 'up');
      await ip('-n', space, 'addr', 'add', `${address}/24`, 'dev', 'eth0');
      await ip('-n', space, 'link', 'set', 'lo', 'up');
      await ip('-n', space, 'link', 'set', 'eth0', 'up');
      const home = join(root, name);
      await mkdir(home, { mode: 0o700 });
      machines.set(name, machineIn({ space, name, address, home, env: env({ name, home }), running }));
    }
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    machine: (name) => {
      const machine = machines.get(name);
      if (machine === undefined) throw new Error(`there is no machine ${name}`);
      return machine;
    },
    dispose,
  };
}

function machineIn(at: {
  readonly space: string;
  readonly name: string;
  readonly address: string;
  readonly home: string;
  readonly env: Readonly<Record<string, string>>;
  readonly running: Running[];
}): Machine {
  const { space, name, address, home, running } = at;
  // `ip netns exec` would also mount another /sys, and the agent reads cgroups there. Each step replaces the one before
  // it, so the process is the script's.
  const entering = [
    `--net=/run/netns/${space}`,
    ...['unshare', '--uts', 'sh', '-c', 'hostname "$0" && exec bash -euc "$1"', name],
  ];
  const ownEnv = { HOME: home, ...at.env };
  return {
    name,
    address,
    home,
    run: (script, options = {}) =>
      runProgram('nsenter', [...entering, script], {
        cwd: home,
        ...options,
        env: { ...ownEnv, ...options.env },
      }),
    start(script, env = {}) {
      const child = spawn('nsenter', [...entering, script], {
        cwd: home,
        env: cleanEnv({ ...ownEnv, ...env }),
        stdio: ['ignore', 'pipe', 'pipe'],
        detached: true,
      });
      let said = '';
      const take = (chunk: Buffer): void => {
        said = (said + chunk.toString()).slice(-50_000);
      };
      child.stdout.on('data', take);
      child.stderr.on('data', take);
      const ended = new Promise<number>((resolve) => {
        child.once('error', () => resolve(-1));
        child.once('close', (code) => resolve(code ?? 128));
      });
      const isOver = (): boolean => child.exitCode !== null || child.signalCode !== null;
      const one: Running = {
        child,
        isAgent: script.includes('gantry-agent'),
        ended,
        said: () => said,
        says: async (text, withinMs = 30_000) => {
          try {
            await eventually(
              `${name} says ${String(text)}`,
              () => {
                if (typeof text === 'string' ? said.includes(text) : text.test(said)) return true;
                if (isOver()) throw new Error('it ended');
                return false;
              },
              withinMs,
            );
          } catch (cause) {
            throw new Error(`${name}: ${script}\ndid not say ${String(text)}; it said:\n${said}`, {
              cause,
            });
          }
        },
        signal: (signal) => {
          if (child.pid === undefined || isOver()) return;
          try {
            process.kill(-child.pid, signal);
          } catch {
            // It has ended meanwhile.
          }
        },
      };
      running.push(one);
      return one;
    },
  };
}
