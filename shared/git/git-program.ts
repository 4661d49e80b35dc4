import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { Readable } from 'node:stream';
import { StderrReader, type GitProgress } from './git-progress.js';

export interface GitCommand {
  /** Without the program's name. A value that comes from outside stands behind `--end-of-options` or `--`. */
  readonly args: readonly string[];
  /** The whole environment: `isolatedEnvironment()` or `usersEnvironment()`, and what this command adds. */
  readonly environment: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Given to git's stdin; without it stdin is empty. */
  readonly input?: Uint8Array | AsyncIterable<Uint8Array>;
  readonly signal?: AbortSignal;
  /** Called with what git says by `--progress`. */
  readonly onProgress?: (progress: GitProgress) => void;
  /** More output than this ends the command with `output-limit`. Default 16 MiB. */
  readonly maxStdoutBytes?: number;
  /** No byte from git for so long ends the command with `stalled`. Default: no limit. */
  readonly idleMs?: number;
}

export type GitFailure =
  /** The program could not be started. */
  | { readonly kind: 'git-missing'; readonly message: string }
  | { readonly kind: 'exit'; readonly exitCode: number; readonly stderr: string }
  | { readonly kind: 'killed'; readonly signal: string; readonly stderr: string }
  | { readonly kind: 'stalled'; readonly idleMs: number; readonly stderr: string }
  | { readonly kind: 'output-limit'; readonly limitBytes: number };

export class GitError extends Error {
  override readonly name = 'GitError';

  constructor(
    readonly failure: GitFailure,
    /** The subcommand, for messages: `fetch`. */
    readonly subcommand: string,
  ) {
    super(describe(failure, subcommand));
  }

  /** What git wrote to stderr, progress left out; empty where there was nothing. */
  get stderr(): string {
    return 'stderr' in this.failure ? this.failure.stderr : '';
  }
}

export interface GitOutput {
  readonly stdout: Buffer;
  readonly stderr: string;
}

/**
 * Runs git and waits for its end. Throws `GitError`, or the signal's reason once it aborts. The command is a process
 * group of its own without a terminal, so that its helpers (ssh, index-pack, git-remote-https) end with it and
 * nothing can ask a question on `/dev/tty`.
 */
export async function runGit(command: GitCommand): Promise<GitOutput> {
  command.signal?.throwIfAborted();
  const subcommand = command.args.find((arg) => !arg.startsWith('-')) ?? '';
  const limitBytes = command.maxStdoutBytes ?? 16 * 1024 * 1024;
  const child = spawn('git', command.args, {
    cwd: command.cwd,
    env: { ...command.environment },
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  });
  const stderr = new StderrReader(command.onProgress);
  const chunks: Buffer[] = [];
  let bytes = 0;
  let ending: GitFailure['kind'] | undefined;

  const kill = (signal: NodeJS.Signals): void => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, signal);
    } catch {
      // The group is gone: it ended by itself meanwhile.
    }
  };
  // TERM lets git remove its lock and temporary files; a helper that hangs in the network gets no say.
  let killTimer: NodeJS.Timeout | undefined;
  const end = (): void => {
    kill('SIGTERM');
    killTimer ??= setTimeout(() => kill('SIGKILL'), 2000);
  };
  let idleTimer: NodeJS.Timeout | undefined;
  const stillAlive = (): void => {
    if (command.idleMs === undefined) return;
    clearTimeout(idleTimer);
    idleTimer = setTimeout(() => {
      ending ??= 'stalled';
      end();
    }, command.idleMs);
  };
  stillAlive();
  command.signal?.addEventListener('abort', end, { once: true });

  child.stdout.on('data', (chunk: Buffer) => {
    stillAlive();
    bytes += chunk.length;
    if (bytes <= limitBytes) chunks.push(chunk);
    else if (ending === undefined) {
      ending = 'output-limit';
      chunks.length = 0;
      end();
    }
  });
  child.stderr.setEncoding('utf8');
  child.stderr.on('data', (text: string) => {
    stillAlive();
    stderr.push(text);
  });
  feed(child.stdin, command.input);

  try {
    const { exitCode, signal } = await ended(child).catch((error: unknown) => {
      const message = error instanceof Error ? error.message : String(error);
      throw new GitError({ kind: 'git-missing', message: startFailure(message, command.cwd) }, subcommand);
    });
    command.signal?.throwIfAborted();
    if (ending === 'output-limit') throw new GitError({ kind: 'output-limit', limitBytes }, subcommand);
    const said = stderr.text();
    if (ending === 'stalled') {
      throw new GitError({ kind: 'stalled', idleMs: command.idleMs ?? 0, stderr: said }, subcommand);
    }
    if (signal !== null) throw new GitError({ kind: 'killed', signal, stderr: said }, subcommand);
    if (exitCode !== 0)
      throw new GitError({ kind: 'exit', exitCode: exitCode ?? -1, stderr: said }, subcommand);
    return { stdout: Buffer.concat(chunks), stderr: said };
  } finally {
    clearTimeout(killTimer);
    clearTimeout(idleTimer);
    command.signal?.removeEventListener('abort', end);
  }
}

/** As `runGit`, its output as text without the last line end. */
export async function gitText(command: GitCommand): Promise<string> {
  return (await runGit(command)).stdout.toString('utf8').replace(/\n$/, '');
}

/** As `gitText`, undefined where git ends with code 1: its way to say that there is no such thing. */
export async function gitTextIfAny(command: GitCommand): Promise<string | undefined> {
  try {
    return await gitText(command);
  } catch (error) {
    if (!(error instanceof GitError)) throw error;
    if (error.failure.kind === 'exit' && error.failure.exitCode === 1) return undefined;
    throw error;
  }
}

/** For commands that answer a question by exit code 0 or 1; throws for any other. */
export async function gitAnswers(command: GitCommand): Promise<boolean> {
  return (await gitTextIfAny(command)) !== undefined;
}

function ended(child: ChildProcess): Promise<{ exitCode: number | null; signal: NodeJS.Signals | null }> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    // Not `exit`: what was written may still be on its way.
    child.once('close', (exitCode, signal) => resolve({ exitCode, signal }));
  });
}

/** The system says the same of a program and of a directory that is not there. */
const startFailure = (message: string, cwd: string | undefined): string =>
  cwd === undefined || existsSync(cwd)
    ? `${message}: install git on this machine`
    : `${message}: there is no directory ${cwd}`;

function feed(stdin: NodeJS.WritableStream, input: GitCommand['input']): void {
  // git may end before it has read everything (EPIPE); its exit code says what that means.
  stdin.on('error', () => undefined);
  if (input === undefined) stdin.end();
  else if (input instanceof Uint8Array) stdin.end(input);
  else
    Readable.from(input)
      .on('error', () => stdin.end())
      .pipe(stdin);
}

function describe(failure: GitFailure, subcommand: string): string {
  switch (failure.kind) {
    case 'git-missing':
      return `git could not be started: ${failure.message}`;
    case 'exit':
      return `git ${subcommand} ended with code ${failure.exitCode}${said(failure.stderr)}`;
    case 'killed':
      return `git ${subcommand} was ended by ${failure.signal}${said(failure.stderr)}`;
    case 'stalled':
      return `git ${subcommand} made no progress for ${Math.round(failure.idleMs / 1000)} s and was ended${said(failure.stderr)}`;
    case 'output-limit':
      return `git ${subcommand} wrote more than ${failure.limitBytes} bytes`;
  }
}

const said = (stderr: string): string => (stderr === '' ? '' : `: ${stderr}`);
