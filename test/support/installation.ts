/**
 * Gantry as its users have it: the built programs, run as processes. A test starts an installation of its own with
 * `startUp`, talks to it by `gantry`, and afterwards nothing of it is left.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { mkdir } from 'node:fs/promises';

/** `dist/` of this checkout; a build elsewhere by GANTRY_TEST_DIST. */
const dist = process.env['GANTRY_TEST_DIST'] ?? join(import.meta.dirname, '..', '..', 'dist');
export const gantryMain = join(dist, 'coordinator', 'cli', 'main.js');
export const agentMain = join(dist, 'agent', 'main.js');

export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
  readonly input?: string;
}

/** Variables of the machine that would point programs somewhere else. */
export function cleanEnv(extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !name.startsWith('GANTRY_') && !name.startsWith('GIT_') && name !== 'NODE_OPTIONS',
  );
  return { ...Object.fromEntries(kept), NO_COLOR: '1', ...extra };
}

/** Runs a program to its end. Never rejects for an exit code; rejects when it takes longer than the time-out. */
export function runProgram(
  file: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Finished> {
  const child = spawn(file, args, {
    cwd: options.cwd,
    env: cleanEnv(options.env),
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  return finishedOf(child, `${file} ${args.join(' ')}`, options);
}

function finishedOf(child: ChildProcess, what: string, options: RunOptions): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout?.on('data', (chunk: Buffer) => out.push(chunk));
    child.stderr?.on('data', (chunk: Buffer) => err.push(chunk));
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(options.input ?? '');
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(
        new Error(
          `${what} did not end in time; it printed:\n${Buffer.concat(out).toString()}\n${Buffer.concat(err).toString()}`,
        ),
      );
    }, options.timeoutMs ?? 90_000);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({
        code: code ?? (signal === null ? -1 : 128),
        stdout: Buffer.concat(out).toString(),
        stderr: Buffer.concat(err).toString(),
      });
    });
  });
}

export interface Daemon {
  readonly name: string;
  readonly pid: number;
}

export interface Up {
  readonly data: string;
  /** Environment that makes `gantry` speak to this installation. */
  readonly env: Readonly<Record<string, string>>;
  readonly grpc: string;
  readonly http: string;
  readonly nats: string;
  readonly s3: string;
  /** As started; `daemons()` reads them again. */
  daemons(): Promise<readonly Daemon[]>;
  /** Runs a command of the CLI against it. */
  gantry(args: readonly string[], options?: RunOptions): Promise<Finished>;
  /** The same with `--json`, parsed; throws what it printed when the exit code is not one of `codes`. */
  json(
    args: readonly string[],
    options?: RunOptions & { readonly codes?: readonly number[] },
  ): Promise<unknown>;
  /** The last lines of a daemon's log. */
  logOf(name: string): Promise<string>;
  stop(): Promise<void>;
}

/** `gantry up` in a directory of its own. `args`: further flags. */
export async function startUp(
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<Up> {
  if (!existsSync(gantryMain)) throw new Error(`${gantryMain} is missing: npm run build`);
  const home = await mkdtemp(join(tmpdir(), 'gantry-e2e-'));
  const data = join(home, 'data');
  const ownEnv = { GANTRY_CONFIG: join(home, 'contexts.json'), HOME: home, ...env };
  const child = spawn(process.execPath, [gantryMain, 'up', '--data', data, '--json', ...args], {
    env: cleanEnv(ownEnv),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = new Promise<number>((resolve) => child.on('exit', (code) => resolve(code ?? 128)));
  let printed = '';
  let problems = '';
  child.stderr.on('data', (chunk: Buffer) => (problems = (problems + chunk.toString()).slice(-20_000)));
  const ready = await new Promise<unknown>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGTERM');
      reject(new Error(`gantry up was not ready in time:\n${problems}`));
    }, 90_000);
    child.stdout.on('data', (chunk: Buffer) => {
      printed += chunk.toString();
      const line = printed.split('\n').find((one) => one.includes('"ready":true'));
      if (line === undefined) return;
      clearTimeout(timer);
      resolve(JSON.parse(line));
    });
    void ended.then((code) => reject(new Error(`gantry up ended with ${code}:\n${problems}`)));
  }).catch(async (error: unknown) => {
    await ended;
    await rm(home, { recursive: true, force: true });
    throw error;
  });
  const address = (name: string): string => {
    const value: unknown = Object.entries(ready as object).find(([key]) => key === name)?.[1];
    if (typeof value !== 'string') throw new Error(`the ready line of up has no ${name}`);
    return value;
  };
  const gantry = (rest: readonly string[], options: RunOptions = {}): Promise<Finished> =>
    runProgram(process.execPath, [gantryMain, ...rest], { ...options, env: { ...ownEnv, ...options.env } });
  return {
    data,
    env: ownEnv,
    grpc: address('grpc'),
    http: address('http'),
    nats: address('nats'),
    s3: address('s3'),
    daemons: async () => {
      const file = JSON.parse(await readFile(join(data, 'up.json'), 'utf8')) as { daemons: Daemon[] };
      return file.daemons;
    },
    gantry,
    json: async (rest, options = {}) => {
      const finished = await gantry([...rest, '--json'], options);
      if (!(options.codes ?? [0]).includes(finished.code)) {
        throw new Error(
          `gantry ${rest.join(' ')} ended with ${finished.code}:\n${finished.stdout}\n${finished.stderr}`,
        );
      }
      return JSON.parse(finished.stdout) as unknown;
    },
    logOf: async (name) => (await readFile(join(data, 'logs', `${name}.log`), 'utf8')).slice(-20_000),
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
      await ended;
      await rm(home, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    },
  };
}

/** A directory with these files; a git repository with one commit unless `git` is false. */
export async function makeTree(
  files: Readonly<Record<string, string>>,
  options: { readonly git?: boolean } = {},
): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'gantry-tree-'));
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(dir, name)), { recursive: true });
    await writeFile(join(dir, name), text);
  }
  if (options.git !== false) await commitAll(dir, 'first commit');
  return dir;
}

export async function git(dir: string, ...args: readonly string[]): Promise<string> {
  const identity = [
    '-c',
    'user.name=Test Author',
    '-c',
    'user.email=author@example.org',
    '-c',
    'init.defaultBranch=main',
  ];
  const finished = await runProgram('git', ['-C', dir, ...identity, ...args]);
  if (finished.code !== 0) throw new Error(`git ${args.join(' ')}: ${finished.stderr}`);
  return finished.stdout.trim();
}

export async function commitAll(dir: string, message: string): Promise<string> {
  if (!existsSync(join(dir, '.git'))) await git(dir, 'init', '-q');
  await git(dir, 'add', '-A');
  await git(dir, 'commit', '-q', '--allow-empty', '-m', message);
  return git(dir, 'rev-parse', 'HEAD');
}
