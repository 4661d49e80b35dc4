/** The supervisor as a process of this machine. Its box is what carries the box's mark in its environment. */
import type { ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { sleep } from '../../shared/async/sleep.js';
import type { Failure } from '../../shared/model/failure.js';
import type { CgroupCounts } from './cgroup-counts.js';
import { ExecutorError } from './executor.js';
import { factsOf, processesWithVariable, signalAll, type Process } from './processes.js';
import type { SupervisorLink } from './supervisor-link.js';

/** Names the box in the environment of all its processes: `<agent>:<attempt>`. */
export const boxVariable = 'GANTRY_BOX';

const killRoundMs = 20;
const killWithinMs = 10_000;

export type SupervisorProcess = ChildProcessByStdio<Writable, Readable, null>;

export class HostLink implements SupervisorLink {
  readonly limits = {};
  readonly #child: SupervisorProcess;
  readonly #mark: string;
  /** When the supervisor started, in the kernel's ticks: nothing in the box is older. */
  readonly #since: number;
  #lost: Failure | undefined;
  readonly #listeners = new Set<() => void>();

  constructor(child: SupervisorProcess, mark: string) {
    this.#child = child;
    this.#mark = mark;
    this.#since = child.pid === undefined ? 0 : (factsOf(child.pid)?.startedAt ?? 0);
    // The write that fails is told by `send`; what ends the box by `exit`.
    child.stdin.on('error', () => undefined);
    child.on('exit', (code, signal) =>
      this.#lose(`the steps’ supervisor ended (${signal ?? `exit code ${code}`})`),
    );
    child.on('error', (error) => this.#lose(`the steps’ supervisor could not be started: ${error.message}`));
  }

  get lost(): Failure | undefined {
    return this.#lost;
  }

  onLost(listener: () => void): () => void {
    this.#listeners.add(listener);
    if (this.#lost !== undefined) listener();
    return () => this.#listeners.delete(listener);
  }

  async greeting(timeoutMs: number): Promise<string> {
    let text = '';
    const timer = setTimeout(() => this.#child.stdout.destroy(), timeoutMs);
    try {
      // The supervisor closes its output after the first line.
      for await (const chunk of this.#child.stdout as AsyncIterable<Buffer>) text += chunk.toString('utf8');
    } catch {
      // Destroyed at the deadline: what came is the answer.
    } finally {
      clearTimeout(timer);
    }
    return text;
  }

  async send(line: string): Promise<void> {
    if (this.#lost !== undefined) throw new ExecutorError(this.#lost);
    await new Promise<void>((resolve, reject) => {
      this.#child.stdin.write(line, (error) => {
        if (error)
          reject(new ExecutorError({ kind: 'box-broken', message: error.message }, { cause: error }));
        else resolve();
      });
    });
  }

  async processes(): Promise<readonly Process[]> {
    const all = await processesWithVariable(boxVariable, (value) => value === this.#mark, this.#since);
    return all.filter((each) => each.session !== this.#child.pid);
  }

  /** Without a control group of the box's own there is nothing to count. */
  counts(): CgroupCounts {
    return {};
  }

  async kill(): Promise<void> {
    await this.#endSupervisor();
    await killMarked((value) => value === this.#mark, this.#since);
    this.#lose('the box was ended');
  }

  /** First and by its id: mostly it is all that is left, and one look at the machine's processes says so. */
  async #endSupervisor(): Promise<void> {
    const child = this.#child;
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit', { signal: AbortSignal.timeout(killWithinMs) });
    child.kill('SIGKILL');
    await ended.catch(() => undefined); // One that does not end is found, and told, by `killMarked`.
  }

  #lose(message: string): void {
    if (this.#lost !== undefined) return;
    this.#lost = { kind: 'box-broken', message };
    for (const listener of this.#listeners) listener();
  }
}

/**
 * Kills everything whose box `belongs`, and again until nothing is left: a process may fork while it is listed. `since`:
 * see `processesWithVariable`.
 */
export async function killMarked(belongs: (value: string) => boolean, since = 0): Promise<void> {
  const deadline = performance.now() + killWithinMs;
  for (;;) {
    const left = await processesWithVariable(boxVariable, belongs, since);
    if (left.length === 0) return;
    signalAll(left, 'SIGKILL');
    if (performance.now() > deadline) {
      const message = `${left.length} processes of a step could not be killed (first: ${left[0]?.pid})`;
      throw new ExecutorError({ kind: 'box-broken', message });
    }
    await sleep(killRoundMs);
  }
}
