/**
 * One daemon that `up` keeps running: a child of its own process group, or one adopted from an `up` that was killed.
 *
 *   start or adopt ──► running ──exit──► waiting (back-off) ──► running …
 *                         │                    │
 *                         └────── stop ────────┴──► stopped
 */
import { spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { backoffMs, type Backoff } from '../../../shared/async/backoff.js';
import { sleep } from '../../../shared/async/sleep.js';
import { openLog } from './log-file.js';
import { identityOf, isAlive, sendSignal, type ProcessIdentity } from './process-identity.js';
import type { Ports } from './up-file.js';

export interface DaemonSpec {
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** More environment, made for each start: tokens that end. */
  readonly secrets: () => Readonly<Record<string, string>>;
  /** Of all that makes a running one the right one. */
  readonly digest: string;
  /** SIGTERMs until it goes: agents want two, the first only hands over. */
  readonly terminations: 1 | 2;
  readonly listens: Partial<Ports>;
}

export interface DaemonEvents {
  /** Called at once after every start, before anything else: the record must name it. */
  started(spec: DaemonSpec, identity: ProcessIdentity): void;
  /** `exits` counts since it last ran for a while. */
  exited(spec: DaemonSpec, how: string, exits: number): void;
}

const restart: Backoff = { firstMs: 200, maxMs: 10_000 };
/** One that ran for so long did start well: its next exit is a first one again. */
const healthyMs = 30_000;
/** Longer than an agent may take to end its steps and send their last words. */
const stopGraceMs = 30_000;
const pollMs = 250;

export class Daemon {
  readonly #stopping = new AbortController();
  #current: { readonly identity: ProcessIdentity; readonly exited: Promise<string> } | undefined;
  #loop: Promise<void> | undefined;

  constructor(
    readonly spec: DaemonSpec,
    private readonly logs: string,
    private readonly events: DaemonEvents,
  ) {}

  get identity(): ProcessIdentity | undefined {
    return this.#current?.identity;
  }

  start(adopted?: ProcessIdentity): void {
    this.#current =
      adopted === undefined ? this.#spawn() : { identity: adopted, exited: this.#gone(adopted) };
    this.#loop = this.#keepRunning();
  }

  /** Ends it: politely, then not. Resolves when it is gone. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error('stopping'));
    await this.#loop;
    const current = this.#current;
    if (current !== undefined) await endProcess(current.identity, this.spec.terminations);
  }

  async #keepRunning(): Promise<void> {
    let exits = 0;
    while (!this.#stopping.signal.aborted) {
      const began = Date.now();
      const how = await Promise.race([
        this.#current?.exited ?? 'never started',
        aborted(this.#stopping.signal),
      ]);
      if (how === undefined) return;
      exits = Date.now() - began > healthyMs ? 1 : exits + 1;
      this.events.exited(this.spec, how, exits);
      try {
        await sleep(backoffMs(restart, exits - 1, Math.random()), this.#stopping.signal);
      } catch {
        return; // stopped while it waited
      }
      this.#current = this.#spawn();
    }
  }

  #spawn(): { readonly identity: ProcessIdentity; readonly exited: Promise<string> } | undefined {
    const log = openLog(this.logs, this.spec.name);
    try {
      const child = spawn(this.spec.program, this.spec.args, {
        env: { ...this.spec.env, ...this.spec.secrets() },
        // A session of its own: Ctrl-C on the terminal is for `up`, which stops all in order.
        detached: true,
        stdio: ['ignore', log, log],
        cwd: '/',
      });
      const exited = new Promise<string>((resolve) => {
        child.once('error', (error) => resolve(`cannot be started: ${error.message}`));
        child.once('exit', (code, signal) =>
          resolve(signal === null ? `exit code ${code ?? '?'}` : `ended by ${signal}`),
        );
      });
      const identity = child.pid === undefined ? undefined : identityOf(child.pid);
      if (identity === undefined) return { identity: { pid: 0, started: '' }, exited };
      this.events.started(this.spec, identity);
      return { identity, exited };
    } finally {
      closeSync(log);
    }
  }

  /** An adopted daemon is no child: nobody tells when it goes, so it is looked at. */
  async #gone(identity: ProcessIdentity): Promise<string> {
    while (isAlive(identity)) {
      try {
        await sleep(pollMs, this.#stopping.signal);
      } catch {
        break; // the loop has ended too
      }
    }
    return 'it is gone';
  }
}

function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    else signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
}

/**
 * SIGTERM as often as it takes, then SIGKILL to its whole group. Says whether it was there.
 *
 * The second SIGTERM follows at once: an agent that has already handed over would leave its boxes running. The pause
 * keeps the kernel from merging the two.
 */
export async function endProcess(
  identity: ProcessIdentity,
  terminations: 1 | 2,
  graceMs = stopGraceMs,
): Promise<boolean> {
  if (!sendSignal(identity, 'SIGTERM')) return false;
  if (terminations === 2) {
    await sleep(50);
    sendSignal(identity, 'SIGTERM');
  }
  const deadline = Date.now() + graceMs;
  while (isAlive(identity)) {
    if (Date.now() > deadline) {
      try {
        process.kill(-identity.pid, 'SIGKILL');
      } catch {
        sendSignal(identity, 'SIGKILL'); // not the leader of a group
      }
    }
    await sleep(30);
  }
  return true;
}
