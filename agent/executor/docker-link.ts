/**
 * The supervisor in a container: attached stdin, what it says first, and whether it lives.
 *
 * The attached stream ends when the container does, and also when the daemon goes away or restarts. Only `inspect`
 * tells which: a container that lives on is attached again; its step has not noticed.
 */
import { Duplex } from 'node:stream';
import type Docker from 'dockerode';
import type { Logger } from 'pino';
import { sleep } from '../../shared/async/sleep.js';
import type { Failure } from '../../shared/model/failure.js';
import { findCgroupFiles, readCgroupCounts, type CgroupCounts, type CgroupFiles } from './cgroup-counts.js';
import { isUnreachable, statusOf, wordsOf } from './docker-daemon.js';
import { payloadText } from './docker-frames.js';
import { ExecutorError } from './executor.js';
import { processesInNamespace, type Process } from './processes.js';
import type { SupervisorLink } from './supervisor-link.js';

const reattachMs = 200;
/** A daemon that is being upgraded is back well before; after this the box is given up. */
const daemonAwayMs = 60_000;
const maxGreetingBytes = 64 * 1024;

export class DockerLink implements SupervisorLink {
  readonly #container: Docker.Container;
  readonly #log: Logger;
  readonly limits: { readonly memoryBytes?: number; readonly pids?: number };
  #stream: Duplex | undefined;
  #pid = 0;
  #files: CgroupFiles = {};
  #lost: Failure | undefined;
  #oomKilled = false;
  #closed = false;
  readonly #listeners = new Set<() => void>();

  constructor(options: {
    readonly container: Docker.Container;
    readonly limits: { readonly memoryBytes?: number; readonly pids?: number };
    readonly log: Logger;
  }) {
    this.#container = options.container;
    this.limits = options.limits;
    this.#log = options.log;
  }

  get lost(): Failure | undefined {
    return this.#lost;
  }

  onLost(listener: () => void): () => void {
    this.#listeners.add(listener);
    if (this.#lost !== undefined) listener();
    return () => this.#listeners.delete(listener);
  }

  /** Attaches to the created, not yet started container; afterwards `start` it and read the `greeting`. */
  async attach(): Promise<Duplex> {
    const stream = await this.#container.attach({
      stream: true,
      hijack: true,
      stdin: true,
      stdout: true,
      stderr: true,
    });
    // By its type only half of what it is: a hijacked connection is a socket.
    if (!(stream instanceof Duplex)) throw new TypeError('the daemon did not hand over the connection');
    this.#hold(stream);
    return stream;
  }

  /** Takes over a container that may be running, paused or ended. */
  async adopt(state: Docker.ContainerInspectInfo['State']): Promise<void> {
    if (!state.Running) {
      this.#oomKilled = state.OOMKilled;
      this.#lose('the box had ended when the agent came back');
      return;
    }
    // A paused container cannot be attached to; it was frozen, and all that is left is to remove it.
    if (!state.Paused) (await this.attach()).resume();
    this.located(state.Pid);
  }

  /** Tells where the supervisor is among the host's processes. */
  located(pid: number): void {
    this.#pid = pid;
    this.#files = findCgroupFiles(pid);
  }

  /** The first line of the supervisor's output; undefined when it ended without one. */
  async greeting(signal: AbortSignal): Promise<string | undefined> {
    const stream = this.#stream;
    if (stream === undefined) return undefined;
    let frames = Buffer.alloc(0);
    const line = await new Promise<string | undefined>((resolve) => {
      const done = (value: string | undefined): void => {
        stream.off('data', onData);
        stream.off('close', onClose);
        signal.removeEventListener('abort', onClose);
        resolve(value);
      };
      const onData = (chunk: Buffer): void => {
        frames = Buffer.concat([frames, chunk]);
        const text = payloadText(frames);
        if (text.includes('\n')) done(text.slice(0, text.indexOf('\n')));
        else if (frames.length > maxGreetingBytes) done(undefined);
      };
      const onClose = (): void => done(undefined);
      stream.on('data', onData);
      stream.on('close', onClose);
      signal.addEventListener('abort', onClose, { once: true });
    });
    // Afterwards the supervisor's output is /dev/null; whatever still comes is dropped.
    stream.resume();
    return line;
  }

  async send(line: string): Promise<void> {
    for (let left = 2; left > 0; left -= 1) {
      if (this.#lost !== undefined) throw new ExecutorError(this.#lost);
      const stream = this.#stream;
      if (stream === undefined || stream.destroyed) {
        await this.#recovering;
        continue;
      }
      await new Promise<void>((resolve, reject) => {
        stream.write(line, (error) => (error ? reject(error) : resolve()));
      });
      return;
    }
    throw new ExecutorError(
      this.#lost ?? { kind: 'box-broken', message: 'the box’s supervisor cannot be reached' },
    );
  }

  async processes(): Promise<readonly Process[]> {
    return this.#pid === 0 || this.#lost !== undefined ? [] : processesInNamespace(this.#pid);
  }

  counts(): CgroupCounts {
    const counts = readCgroupCounts(this.#files);
    // The group is gone with the container; that its first process was killed for memory is remembered by the daemon.
    return this.#oomKilled ? { ...counts, oomKills: Number.MAX_SAFE_INTEGER } : counts;
  }

  async kill(): Promise<void> {
    try {
      await this.#container.kill({ signal: 'SIGKILL' });
      await this.#container.wait();
    } catch (error) {
      const status = statusOf(error);
      // Not running, or gone.
      if (status !== 409 && status !== 404) this.#log.warn({ err: error }, 'box could not be killed');
    }
    await this.#recovering;
    await this.#recover();
  }

  /** Lets go of a container that is being removed; a step that still runs in it ends as `box-broken`. */
  dismiss(message: string): void {
    this.#lose(message);
    this.close();
  }

  /** Lets go of the container, which lives on. */
  close(): void {
    this.#closed = true;
    this.#stream?.destroy();
  }

  #recovering: Promise<void> | undefined;

  #hold(stream: Duplex): void {
    this.#stream = stream;
    // An error is followed by `close`, which is where it is dealt with.
    stream.on('error', () => undefined);
    stream.on('close', () => {
      if (this.#stream === stream && !this.#closed) {
        this.#stream = undefined;
        void this.#recover();
      }
    });
  }

  #recover(): Promise<void> {
    this.#recovering ??= this.#recoverOn().finally(() => {
      this.#recovering = undefined;
    });
    return this.#recovering;
  }

  async #recoverOn(): Promise<void> {
    const deadline = performance.now() + daemonAwayMs;
    while (!this.#closed && this.#lost === undefined) {
      try {
        const { State: state } = await this.#container.inspect();
        if (!state.Running) {
          this.#oomKilled = state.OOMKilled;
          this.#lose(
            `the box ended under its step (exit code ${state.ExitCode}${state.Error === '' ? '' : `, ${state.Error}`})`,
          );
        } else if (this.#stream === undefined) {
          (await this.attach()).resume();
        }
        return;
      } catch (error) {
        if (statusOf(error) === 404) this.#lose('the box was removed by someone else while its step ran');
        else if (performance.now() > deadline) {
          const why = isUnreachable(error) ? 'is not reachable' : 'cannot say what became of the box';
          this.#lose(`the Docker daemon ${why}: ${wordsOf(error)}`);
        } else await sleep(reattachMs);
      }
    }
  }

  #lose(message: string): void {
    if (this.#lost !== undefined) return;
    this.#lost = { kind: 'box-broken', message };
    for (const listener of this.#listeners) listener();
  }
}
