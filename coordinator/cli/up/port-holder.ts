/**
 * Who listens on a port of this machine, as the system tells it: an answer alone may be anybody's. Linux says it in
 * `/proc`, other systems by `lsof`; a process of another user is known only as such.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { ProcessIdentity } from './process-identity.js';

interface Holder {
  readonly pid: number;
  /** Daemons lead a group of their own, so a wrapper's child is known by it. */
  readonly group: number;
  readonly program: string;
}

export type HeldBy = 'itself' | 'somebody else' | 'nobody' | 'unknown';

/** Whether a daemon, or a child of it, listens there. */
export function portHeldBy(port: number, daemon: ProcessIdentity): HeldBy {
  if (process.platform !== 'linux') {
    const holders = holdersByLsof(port);
    if (holders === undefined) return 'unknown';
    if (holders.length === 0) return 'nobody';
    return holders.some(({ group }) => group === daemon.pid) ? 'itself' : 'somebody else';
  }
  const sockets = listening(port);
  if (sockets === undefined) return 'unknown';
  if (sockets.length === 0) return 'nobody';
  const inodes = new Set(sockets.map(({ inode }) => inode));
  const own = hasSocket(daemon.pid, inodes);
  if (own === true) return 'itself';
  const holders = holdersIn(inodes);
  if (holders.some(({ group }) => group === daemon.pid)) return 'itself';
  // What a process has open may be hidden even from its own user.
  return own === undefined && holders.length === 0 ? 'unknown' : 'somebody else';
}

/** For a message: `nats-server (pid 12)`; undefined when nobody is seen to listen there. */
export function nameHolder(port: number): string | undefined {
  const sockets = process.platform === 'linux' ? (listening(port) ?? []) : [];
  const holders =
    process.platform === 'linux'
      ? holdersIn(new Set(sockets.map(({ inode }) => inode)))
      : (holdersByLsof(port) ?? []);
  const named = holders.map(({ program, pid }) => `${program} (pid ${pid})`);
  const [socket] = sockets;
  if (named.length === 0 && socket !== undefined) return `a process of the user with id ${socket.uid}`;
  return named.length === 0 ? undefined : named.join(', ');
}

interface ListeningSocket {
  readonly inode: string;
  readonly uid: string;
}

const stateListen = '0A';

function listening(port: number): readonly ListeningSocket[] | undefined {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const sockets: ListeningSocket[] = [];
  for (const table of ['tcp', 'tcp6']) {
    let text: string;
    try {
      text = readFileSync(`/proc/self/net/${table}`, 'latin1');
    } catch {
      if (table === 'tcp') return undefined; // no /proc
      continue; // a kernel without IPv6
    }
    for (const line of text.split('\n').slice(1)) {
      // sl local_address rem_address st queues timer retransmits uid timeout inode
      const [, local, , state, , , , uid, , inode] = line.trim().split(/\s+/);
      if (local?.endsWith(wanted) !== true || state !== stateListen) continue;
      if (uid !== undefined && inode !== undefined) sockets.push({ inode, uid });
    }
  }
  return sockets;
}

/** `undefined`: what it has open cannot be seen. */
function hasSocket(pid: number, inodes: ReadonlySet<string>): boolean | undefined {
  let descriptors: readonly string[];
  try {
    descriptors = readdirSync(`/proc/${pid}/fd`);
  } catch {
    return undefined; // gone, or not ours to see
  }
  return descriptors.some((descriptor) => {
    try {
      const [, inode] = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${descriptor}`)) ?? [];
      return inode !== undefined && inodes.has(inode);
    } catch {
      return false; // closed meanwhile
    }
  });
}

function holdersIn(inodes: ReadonlySet<string>): readonly Holder[] {
  if (inodes.size === 0) return [];
  const holders: Holder[] = [];
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || hasSocket(pid, inodes) !== true) continue;
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
      const group = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2]);
      holders.push({ pid, group, program: stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')')) });
    } catch {
      // It has ended meanwhile.
    }
  }
  return holders;
}

function holdersByLsof(port: number): readonly Holder[] | undefined {
  const { stdout, error } = spawnSync('lsof', ['-nP', `-iTCP:${port}`, '-sTCP:LISTEN', '-Fpgc'], {
    encoding: 'utf8',
  });
  if (error !== undefined) return undefined;
  // Of each process the lines `p<pid>`, `g<group>`, `c<program>`.
  return stdout
    .split(/^p/m)
    .slice(1)
    .map((lines) => ({
      pid: Number.parseInt(lines, 10),
      group: Number(/^g(\d+)$/m.exec(lines)?.[1]),
      program: /^c(.*)$/m.exec(lines)?.[1] ?? 'a process',
    }));
}
