/** One build by the daemon, from the context to the image's id. */
import { once } from 'node:events';
import { Readable } from 'node:stream';
import type Docker from 'dockerode';
import { registryConfig } from './docker-auth.js';
import type { BoxHouse } from './docker-box.js';
import { BuildCommandFailed } from './docker-build-error.js';
import { daemonError, isUnreachable, statusOf, wordsOf } from './docker-daemon.js';
import { buildActivity, daemonEvents, logText, type DaemonEvent } from './docker-events.js';
import { isTransient } from './docker-images.js';
import { imageLabels, type Owned } from './docker-options.js';
import { ExecutorError, type BuildCommand } from './executor.js';
import { PullTally } from './pull-progress.js';

export interface ImageToBuild {
  readonly house: BoxHouse;
  readonly owned: Owned;
  readonly box: Docker.Container;
  readonly command: BuildCommand;
  readonly context: AsyncIterable<Uint8Array>;
  readonly say: (text: string) => Promise<void>;
  readonly signal: AbortSignal;
}

/** Throws `BuildCommandFailed`, `ExecutorError`, what the context throws, or the signal's reason. */
export async function buildImage(wanted: ImageToBuild): Promise<string> {
  const { house, signal } = wanted;
  const context = new Context(wanted.context);
  try {
    const options = await optionsOf(wanted);
    signal.throwIfAborted();
    const answer = await house.docker.buildImage(context.stream, options);
    return await follow(wanted, answer as AsyncIterable<Buffer>);
  } catch (error) {
    signal.throwIfAborted();
    throw context.error ?? buildError(wanted.command.number, error, house);
  } finally {
    await context.close();
  }
}

/** The context on its way, and what it failed with: all that the request says of that is that it was ended. */
class Context {
  readonly stream: Readable;
  error: Error | undefined;
  readonly #closed: Promise<unknown>;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.stream = Readable.from(source, { objectMode: false });
    this.#closed = once(this.stream, 'close').catch(() => undefined); // The error is kept below.
    this.stream.on('error', (error: Error) => (this.error ??= error));
  }

  /** Resolves when its source has let go of everything. */
  async close(): Promise<void> {
    this.stream.destroy();
    await this.#closed;
  }
}

async function optionsOf({
  house,
  owned,
  box,
  command,
  signal,
}: ImageToBuild): Promise<Docker.ImageBuildOptions> {
  const { build } = command;
  const { memoryBytes, cpus } = house.limits;
  return {
    dockerfile: command.dockerfile,
    ...(build.target === undefined ? {} : { target: build.target }),
    buildargs: build.args,
    labels: imageLabels(owned),
    // A failed or ended build would leave its containers otherwise.
    rm: true,
    forcerm: true,
    // What the box can reach, and no more: its services, and not the metadata address.
    networkmode: `container:${box.id}`,
    ...(memoryBytes === undefined ? {} : { memory: memoryBytes, memswap: memoryBytes }),
    ...(cpus === undefined ? {} : { cpuperiod: cpuPeriodUs, cpuquota: Math.round(cpus * cpuPeriodUs) }),
    registryconfig: registryConfig(await command.registries()),
    abortSignal: signal,
  };
}

const cpuPeriodUs = 100_000;

async function follow({ command, say }: ImageToBuild, answer: AsyncIterable<Buffer>): Promise<string> {
  const { onProgress } = command;
  let pulled = new PullTally('the base image');
  let id: string | undefined;
  for await (const event of daemonEvents(answer)) {
    await say(logText(event));
    if (event.error !== undefined) throw new DaemonSaid(event);
    id = event.aux?.ID ?? id;
    const activity = buildActivity(event);
    if (activity !== undefined) {
      onProgress({ activity });
      pulled = new PullTally('the base image');
    } else if (event.id !== undefined) {
      pulled.add(event);
      onProgress(pulled.progress);
    }
  }
  if (id === undefined) throw new Error('the build ended without an image: was the daemon restarted?');
  return id;
}

/** An error within the answer. */
class DaemonSaid extends Error {
  override readonly name = 'DaemonSaid';

  constructor(readonly event: DaemonEvent) {
    super(event.error);
  }
}

function buildError(step: number, error: unknown, { agent }: BoxHouse): Error {
  if (error instanceof ExecutorError) return error;
  const said = error instanceof DaemonSaid ? error.event : undefined;
  const code = said?.errorDetail?.code;
  if (code !== undefined && code !== 0) return new BuildCommandFailed(code);
  // Refused before it began, as a Dockerfile that cannot be read: 400, older daemons 500.
  const isRefused = said !== undefined || statusOf(error) !== undefined;
  if (!isRefused || isUnreachable(error)) return daemonError(error, 'build an image');
  const message = wordsOf(said === undefined ? error : new Error(said.error)).trim();
  if (/no space left on device/i.test(message)) {
    return new ExecutorError({ kind: 'disk-full', agent, message }, { cause: error });
  }
  if (isTransient(message, statusOf(error)) && /^(?:Get |error pulling|received unexpected)/.test(message)) {
    const image = 'of the Dockerfile';
    return new ExecutorError(
      { kind: 'image-unavailable', image, message, transient: true },
      { cause: error },
    );
  }
  return new ExecutorError({ kind: 'build-failed', step, message }, { cause: error });
}
