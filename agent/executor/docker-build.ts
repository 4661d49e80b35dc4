/**
 * Builds images by the daemon's own (classic) builder, whose limits of memory and CPUs hold, unlike BuildKit's.
 *
 *   context sent, the box held still ──► building ──► named, pushed ──► ended
 *          └──────────────┬────────────────┴──────────────┘
 *          terminate, log limit, a lost daemon: the connection ends, and with it the build
 */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type Docker from 'dockerode';
import { BuildCommandFailed } from './docker-build-error.js';
import { buildImage } from './docker-build-image.js';
import type { BoxHouse } from './docker-box.js';
import { daemonError, statusOf } from './docker-daemon.js';
import type { Owned } from './docker-options.js';
import { publish } from './docker-push.js';
import { diskError } from './disk-error.js';
import {
  ExecutorError,
  type BuildCommand,
  type BuiltImage,
  type ImageBuilder,
  type RunningStep,
  type SlotDirectories,
  type StepExit,
  type StepHandle,
  type StepResult,
} from './executor.js';
import { createGuarded, openGuardedLog } from './guarded-file.js';
import { parseHandle } from './step-handle.js';
import { WrittenLog } from './written-log.js';

export interface BuilderOptions {
  readonly house: BoxHouse;
  readonly owned: Owned;
  readonly container: Docker.Container;
  readonly slot: SlotDirectories;
}

/** There while a build holds the box still: a box that is found so was not frozen for good. */
export const stillFile = (slot: SlotDirectories): string => join(slot.root, 'still');

export class DockerBuilder implements ImageBuilder {
  readonly #options: BuilderOptions;
  #current: DockerBuild | undefined;

  constructor(options: BuilderOptions) {
    this.#options = options;
  }

  async startBuild(command: BuildCommand, handle: StepHandle): Promise<RunningStep> {
    const self = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
    try {
      const file = await createGuarded(this.#logFile(handle), self);
      const { logLimitBytes: limitBytes } = command;
      return this.#follow(command, new WrittenLog(file, { bytes: 0, limitBytes }));
    } catch (error) {
      throw this.#logError(command, error);
    }
  }

  async resumeBuild(command: BuildCommand, handle: StepHandle): Promise<RunningStep> {
    const log = await this.openLog(command, handle);
    if (log === undefined) return this.startBuild(command, handle);
    await log.write('\nThe agent was restarted: the build begins again.\n').catch((error: unknown) => {
      throw this.#logError(command, error);
    });
    return this.#follow(command, log);
  }

  async openLog(
    { logLimitBytes: limitBytes }: BuildCommand,
    handle: StepHandle,
  ): Promise<WrittenLog | undefined> {
    const file = await openGuardedLog(this.#logFile(handle));
    if (file === undefined) return undefined;
    return new WrittenLog(file, { bytes: (await file.stat()).size, limitBytes });
  }

  /** The agent goes, or the box does. */
  end(): void {
    this.#current?.abandon();
  }

  #follow(command: BuildCommand, log: WrittenLog): RunningStep {
    this.#current = new DockerBuild(this.#options, command, log);
    return this.#current;
  }

  #logFile(handle: StepHandle): string {
    return join(this.#options.slot.out, `${parseHandle(handle).id}.log`);
  }

  #logError({ number }: BuildCommand, error: unknown): ExecutorError {
    if (error instanceof ExecutorError) return error;
    const message = `the log of step ${number} cannot be kept: ${error instanceof Error ? error.message : String(error)}`;
    return (
      diskError(error, this.#options.house.agent) ??
      new ExecutorError({ kind: 'internal', message }, { cause: error })
    );
  }
}

/** What a build is ended by, beside what it comes to itself. */
class BuildEnded extends Error {
  override readonly name = 'BuildEnded';
}

class DockerBuild implements RunningStep {
  readonly log: WrittenLog;
  readonly finished: Promise<StepResult>;
  readonly #options: BuilderOptions;
  readonly #command: BuildCommand;
  readonly #end = new AbortController();
  #lastSaid = '';

  constructor(options: BuilderOptions, command: BuildCommand, log: WrittenLog) {
    this.#options = options;
    this.#command = command;
    this.log = log;
    this.finished = this.#run();
    // Whoever holds `finished` handles it; this only keeps a rejection before that from ending the process.
    this.finished.catch(() => undefined);
  }

  async terminate(): Promise<void> {
    this.abandon();
    await this.finished.catch(() => undefined);
  }

  abandon(): void {
    this.#end.abort(new BuildEnded('the build was ended'));
  }

  async #run(): Promise<StepResult> {
    try {
      const built = await this.#build();
      return this.#result({ kind: 'exited', exitCode: 0 }, built);
    } catch (error) {
      if (this.#end.signal.aborted) return this.#result({ kind: 'terminated' });
      return this.#result(await this.#failed(error));
    }
  }

  async #build(): Promise<BuiltImage> {
    const { house, owned, container: box } = this.#options;
    const { build, registries, onProgress } = this.#command;
    const { signal } = this.#end;
    const say = (text: string): Promise<void> => this.#say(text);
    onProgress({ activity: 'sending the context of the build' });
    const id = await buildImage({
      house,
      owned,
      box,
      command: this.#command,
      context: this.#stillContext(),
      say,
      signal,
    });
    const { docker, names } = house;
    const { tags, push } = build;
    const built = await publish({
      docker,
      turns: names,
      id,
      tags,
      push,
      registries,
      say,
      onProgress,
      signal,
    });
    await say(`Built ${built.reference}\n`);
    return built;
  }

  /** Nothing runs in the box while its workspace is read. */
  async *#stillContext(): AsyncGenerator<Uint8Array, void> {
    const { container, slot } = this.#options;
    const { signal } = this.#end;
    const lines: Promise<void>[] = [];
    const say = (line: string): void => {
      const written = this.#say(`${line}\n`);
      // Awaited at the end of the context.
      written.catch(() => undefined);
      lines.push(written);
    };
    await writeFile(stillFile(slot), '', { mode: 0o600 });
    await this.#hold(container);
    try {
      yield* this.#command.context(say, signal);
      await Promise.all(lines);
    } finally {
      await goOn(container, slot);
    }
  }

  async #hold(container: Docker.Container): Promise<void> {
    try {
      await container.pause();
    } catch (error) {
      // Held by a former process, or ended.
      if (statusOf(error) !== 409) throw error;
      if (await isRunning(container)) return;
      const message = `the box had ended when step ${this.#command.number} was to build an image`;
      throw new ExecutorError({ kind: 'box-broken', message }, { cause: error });
    }
  }

  async #say(text: string): Promise<void> {
    if (text === '') return;
    this.#lastSaid = text;
    await this.log.write(text);
    const { number, logLimitBytes: limitBytes } = this.#command;
    if (this.log.overLimit) throw new ExecutorError({ kind: 'log-limit', step: number, limitBytes });
  }

  /** The reason stands at the end of the log too, where whoever reads it looks for it. */
  async #failed(error: unknown): Promise<StepExit> {
    const exit = await this.#exitOf(error);
    const message = exit.kind === 'failed' && 'message' in exit.failure ? exit.failure.message : '';
    if (message !== '' && !this.#lastSaid.includes(message)) {
      // A full disk may be the very reason.
      await this.log.write(`${message}\n`).catch(() => undefined);
    }
    return exit;
  }

  /** Commands of a build run in the network of the box: without it they fail in many words. */
  async #exitOf(error: unknown): Promise<StepExit> {
    const { house, container } = this.#options;
    const exit = exitOf(error, house.agent);
    const isTheirs =
      exit.kind === 'exited' || (exit.kind === 'failed' && exit.failure.kind === 'build-failed');
    if (!isTheirs || (await isRunning(container))) return exit;
    const why = exit.kind === 'failed' && 'message' in exit.failure ? `: ${exit.failure.message}` : '';
    const message = `the box ended while step ${this.#command.number} built an image${why}`;
    return { kind: 'failed', failure: { kind: 'box-broken', message } };
  }

  #result(exit: StepExit, built?: BuiltImage): StepResult {
    return { exit, logBytes: this.log.bytes, ...(built === undefined ? {} : { built }) };
  }
}

/** Where the daemon does not say, it is. */
const isRunning = async (container: Docker.Container): Promise<boolean> => {
  try {
    return (await container.inspect()).State.Running;
  } catch (error) {
    return statusOf(error) !== 404;
  }
};

function exitOf(error: unknown, agent: string): StepExit {
  if (error instanceof BuildCommandFailed) return { kind: 'exited', exitCode: error.exitCode };
  const known = error instanceof ExecutorError ? error : diskError(error, agent);
  return { kind: 'failed', failure: (known ?? daemonError(error, 'build an image')).failure };
}

/** Lets the box go on; one that is gone, or was not held, needs nothing. */
export async function goOn(container: Docker.Container, slot: SlotDirectories): Promise<void> {
  try {
    await container.unpause();
  } catch (error) {
    if (![404, 409].includes(statusOf(error) ?? 0) && !/is not paused/i.test(String(error))) throw error;
  }
  await rm(stillFile(slot), { force: true });
}
