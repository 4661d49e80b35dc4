import { mkdtemp, lstat, readdir, readFile, readlink, rm, statfs, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

const memoryFileSystems: ReadonlySet<number> = new Set([0x01021994, 0x858458f6]); // tmpfs, ramfs
const prefix = 'gantry-private-';
/** No command runs for so long: what is older was left behind, whoever made it. */
const oldMs = 24 * 3600 * 1000;

/**
 * Lends files (name → content) that nobody else may read, for a program that takes a secret from a file only: 0600 in a
 * directory of its own (0700), in memory where this machine has a memory file system, and gone when `use` has ended. What a
 * killed process left is removed by the next one that lends files.
 */
export async function withPrivateFiles<T>(
  files: Readonly<Record<string, string>>,
  use: (directory: string) => Promise<T>,
): Promise<T> {
  const base = await privateBase();
  await leftoversRemoved(base);
  const owner = await thisProcess();
  const directory = await mkdtemp(
    path.join(base, `${prefix}${owner.namespace}-${owner.pid}-${owner.started}-`),
  );
  try {
    for (const [name, content] of Object.entries(files)) {
      await writeFile(path.join(directory, name), content, { mode: 0o600, flag: 'wx' });
    }
    return await use(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** `/dev/shm` where it is in memory, else the directory for temporary files. */
async function privateBase(): Promise<string> {
  try {
    if (memoryFileSystems.has((await statfs('/dev/shm')).type)) return '/dev/shm';
  } catch {
    // This machine has none.
  }
  return os.tmpdir();
}

/** Removes what dead processes of this user left below `base`. */
export async function removeLeftovers(base: string): Promise<void> {
  const own = await thisProcess();
  for (const name of await readdir(base).catch(() => [])) {
    const [, namespace, pid, started] = /^gantry-private-(\d+)-(\d+)-(\d+)-[A-Za-z0-9]+$/.exec(name) ?? [];
    if (namespace === undefined || pid === undefined || started === undefined) continue;
    const directory = path.join(base, name);
    const stats = await lstat(directory).catch(() => undefined); // its owner has just removed it
    if (stats?.isDirectory() !== true || stats.uid !== process.getuid?.()) continue;
    // Of a process in another namespace (a container that shares this directory) nothing but its age is known.
    const lives = namespace === own.namespace && (await startOf(pid)) === started;
    const foreign = namespace !== own.namespace;
    if (lives || (foreign && Date.now() - stats.mtimeMs < oldMs)) continue;
    await rm(directory, { recursive: true, force: true });
  }
}

const cleaned = new Map<string, Promise<void>>();

/** Once in the life of this process. */
function leftoversRemoved(base: string): Promise<void> {
  const known = cleaned.get(base) ?? removeLeftovers(base);
  cleaned.set(base, known);
  return known;
}

async function thisProcess(): Promise<{ namespace: string; pid: string; started: string }> {
  const pid = String(process.pid);
  const link = await readlink('/proc/self/ns/pid').catch(() => ''); // not Linux: one namespace
  return { namespace: /\d+/.exec(link)?.[0] ?? '0', pid, started: (await startOf(pid)) ?? '0' };
}

/** When a process began, in ticks since boot; undefined: there is none of that number. */
async function startOf(pid: string): Promise<string | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => undefined);
  // The name in parentheses may hold anything; the start is the 20th field behind it.
  return text?.slice(text.lastIndexOf(')') + 2).split(' ')[19];
}
