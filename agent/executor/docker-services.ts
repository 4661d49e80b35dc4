/** A stage's services: containers on a network of the attempt's own, each reachable from its box by its name. */
import type { Duplex } from 'node:stream';
import type Docker from 'dockerode';
import { sleep } from '../../shared/async/sleep.js';
import type { PlannedService } from '../../shared/model/pipeline.js';
import { statusOf, wordsOf } from './docker-daemon.js';
import { payloadText } from './docker-frames.js';
import { blockMetadata, createServiceNetwork } from './docker-network.js';
import { serviceContainer, type BoxLimits, type Owned } from './docker-options.js';
import { ExecutorError } from './executor.js';
import type { Limit } from '../../shared/async/limit.js';

const readyEveryMs = 200;
const readyWithinMs = 60_000;
const tailLines = 10;

export interface ServicesOptions {
  readonly docker: Docker;
  readonly owned: Owned;
  readonly services: readonly PlannedService[];
  readonly limits: BoxLimits;
  readonly starts: Limit;
  readonly signal: AbortSignal;
}

/** Starts all and waits until each is ready; the id of their network. What was begun is removed by the box's removal. */
export async function startServices(options: ServicesOptions): Promise<string> {
  const networkId = await createServiceNetwork(options.docker, options.owned);
  options.signal.throwIfAborted();
  const failed = new AbortController();
  const signal = AbortSignal.any([options.signal, failed.signal]);
  const started = options.services.map((service) =>
    startService({ ...options, signal }, service, networkId).catch((error: unknown) => {
      failed.abort(error);
      throw error;
    }),
  );
  // All must have come to rest before anything is removed; the first failure is the one to tell.
  const results = await Promise.allSettled(started);
  options.signal.throwIfAborted();
  failed.signal.throwIfAborted();
  const rejected = results.find((result) => result.status === 'rejected');
  if (rejected !== undefined) throw rejected.reason;
  return networkId;
}

const serviceFailed = (service: PlannedService, message: string, cause?: unknown): ExecutorError =>
  new ExecutorError({ kind: 'service-failed', service: service.name, message }, { cause });

async function startService(
  options: ServicesOptions,
  service: PlannedService,
  networkId: string,
): Promise<void> {
  const { docker, owned, limits, signal } = options;
  let container: Docker.Container;
  try {
    container = await options.starts.run(async () => {
      signal.throwIfAborted();
      const created = await docker.createContainer(serviceContainer({ owned, service, networkId, limits }));
      await created.start();
      return created;
    });
  } catch (error) {
    if (signal.aborted || statusOf(error) === undefined) throw error;
    throw serviceFailed(service, `it could not be started: ${wordsOf(error)}`, error);
  }
  await blockMetadata((await container.inspect()).State.Pid);
  const deadline = performance.now() + readyWithinMs;
  for (;;) {
    signal.throwIfAborted();
    const { State: state } = await container.inspect();
    if (!state.Running) {
      const why = state.OOMKilled ? 'it ran out of memory' : `it ended with code ${state.ExitCode}`;
      throw serviceFailed(service, `${why}${await tailOf(container)}`);
    }
    if (service.ready === undefined) return;
    const probe = await runProbe(container, service.ready, Math.max(1, deadline - performance.now()));
    if (probe.exitCode === 0) return;
    if (performance.now() > deadline) {
      const said = probe.output === '' ? '' : `, saying: ${probe.output}`;
      const message = `it was not ready within 60 s: \`${service.ready}\` still ended with ${probe.exitCode ?? 'no answer'}${said}${await tailOf(container)}`;
      throw serviceFailed(service, message);
    }
    await sleep(readyEveryMs, signal);
  }
}

/** Runs the service's `ready` in it. A probe that hangs counts as not ready at the deadline. */
async function runProbe(
  container: Docker.Container,
  command: string,
  withinMs: number,
): Promise<{ readonly exitCode: number | undefined; readonly output: string }> {
  try {
    const exec = await container.exec({ Cmd: ['sh', '-c', command], AttachStdout: true, AttachStderr: true });
    const stream = await exec.start({ hijack: true, stdin: false });
    const output = await readShortly(stream, withinMs);
    const { Running: running, ExitCode: exitCode } = await exec.inspect();
    return { exitCode: running ? undefined : (exitCode ?? undefined), output };
  } catch (error) {
    // The service ended meanwhile (409): the next look at its state says how.
    if (statusOf(error) === 409) return { exitCode: undefined, output: '' };
    throw error;
  }
}

/** What a stream of frames says until its end or the deadline, shortened for a message. */
async function readShortly(stream: Duplex, withinMs: number): Promise<string> {
  const timer = setTimeout(() => stream.destroy(), withinMs);
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) if (chunks.length < 64) chunks.push(chunk);
  } catch {
    // Destroyed at the deadline, or the daemon cut it: what came is enough.
  } finally {
    clearTimeout(timer);
  }
  return payloadText(Buffer.concat(chunks)).trim().slice(-300);
}

async function tailOf(container: Docker.Container): Promise<string> {
  const logs = await container.logs({ stdout: true, stderr: true, tail: tailLines }).catch(() => undefined);
  const text = logs === undefined ? '' : payloadText(logs).trim();
  return text === '' ? '' : `; its last output:\n${text.slice(-2000)}`;
}
