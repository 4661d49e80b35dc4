/**
 * The stream to the coordinator. It breaks and is opened again with back-off; what the caller gets is whether it is up
 * and has room.
 *
 *     opening ─── welcome ──► up ◄──► full (write() said no, until `drain`)
 *        ▲                     │
 *        └── back-off ◄────────┴─── error, end, coordinator silent for 15 s
 */
import { status, type ClientDuplexStream } from '@grpc/grpc-js';

import { backoffMs } from '../../shared/async/backoff.js';
import { deferred, type Deferred } from '../../shared/async/deferred.js';
import { abortError, sleep } from '../../shared/async/sleep.js';
import type { Logger } from '../../shared/log.js';
import type { AgentMessage } from '../../shared/wire/gen/gantry/v1/AgentMessage.js';
import type { CoordinatorMessage__Output } from '../../shared/wire/gen/gantry/v1/CoordinatorMessage.js';
import type { Hello } from '../../shared/wire/gen/gantry/v1/Hello.js';
import { channelOptions, loadContract } from '../../shared/wire/grpc-contract.js';
import { bearerMetadata, channelCredentials, isServiceError, type CoordinatorAddress } from './grpc-calls.js';

export interface LinkHandlers {
  hello(): Hello;
  up(): void;
  down(): void;
  message(message: CoordinatorMessage__Output): void;
  /**
   * The coordinator does not know this agent's key (`unknown`), or will not have it (`refused`), with its words. The
   * stream is tried again after the promise; a rejection ends the link.
   */
  turnedAway(how: 'unknown' | 'refused', details: string): Promise<void>;
}

export interface GrpcLink {
  readonly up: boolean;
  /** False: not taken, as the stream is down or full. */
  send(message: AgentMessage): boolean;
  /** Resolves when the stream is up and has room; rejects with the signal's reason. */
  room(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

type Stream = ClientDuplexStream<AgentMessage, CoordinatorMessage__Output>;

const backoff = { firstMs: 100, maxMs: 1_000 };
const unknown: ReadonlySet<number> = new Set([status.UNAUTHENTICATED]);
const refusals: ReadonlySet<number> = new Set([
  status.PERMISSION_DENIED,
  status.FAILED_PRECONDITION,
  status.INVALID_ARGUMENT,
  status.UNIMPLEMENTED,
]);
/** A link that was up so long begins with short waits again; one that breaks at each message does not. */
const settledMs = 5_000;
/** Connected but no welcome: a coordinator that is starting, or stuck. */
const welcomeMs = 15_000;

export function openLink(options: {
  readonly coordinator: CoordinatorAddress;
  readonly bearer: string;
  readonly handlers: LinkHandlers;
  readonly log: Logger;
}): GrpcLink {
  const { coordinator, bearer, handlers, log } = options;
  const { AgentLink } = loadContract();
  const client = new AgentLink(coordinator.address, channelCredentials(coordinator), channelOptions);
  const closing = new AbortController();
  let stream: Stream | undefined;
  let full = false;
  let room: Deferred<undefined> = deferred();

  /** One stream from its opening to its end; resolves with what ended it. */
  const live = async (): Promise<{ readonly wasUp: boolean; readonly error: Error | undefined }> => {
    const over = deferred<Error | undefined>();
    const call: Stream = client.Open(bearerMetadata(bearer));
    const isUp = (): boolean => stream === call;
    const welcome = setTimeout(() => call.cancel(), welcomeMs);
    const onAbort = (): void => call.cancel();
    closing.signal.addEventListener('abort', onAbort, { once: true });
    // Without this listener an error of the call would end the process.
    call.on('error', (error: Error) => over.resolve(error));
    call.on('end', () => over.resolve(undefined));
    call.on('close', () => over.resolve(undefined));
    call.on('drain', () => {
      full = false;
      if (isUp()) room.resolve(undefined);
    });
    call.on('data', (message: CoordinatorMessage__Output) => {
      if (message.message === 'welcome') {
        if (isUp()) return;
        clearTimeout(welcome);
        stream = call;
        full = false;
        log.info({ coordinator: message.welcome?.coordinator ?? coordinator.address }, 'linked');
        handlers.up();
        room.resolve(undefined);
        return;
      }
      handlers.message(message);
    });
    call.write({ hello: handlers.hello() });
    const error = await over.promise;
    clearTimeout(welcome);
    closing.signal.removeEventListener('abort', onAbort);
    const wasUp = isUp();
    if (wasUp) {
      stream = undefined;
      room = deferred();
      handlers.down();
    }
    call.cancel();
    return { wasUp, error };
  };

  const keep = async (): Promise<void> => {
    for (let failures = 0; ; failures++) {
      const openedAt = performance.now();
      const { wasUp, error } = await live();
      if (closing.signal.aborted) return;
      if (wasUp && performance.now() - openedAt > settledMs) failures = 0;
      const details = isServiceError(error) ? error.details : (error?.message ?? 'the coordinator ended it');
      if (wasUp || failures === 0) log.warn({ reason: details }, 'the link broke; opening it again');
      // A stream that was welcome and then ended for a message on it is opened again: that is no word about the agent.
      const how = !wasUp && isServiceError(error) ? turnedAway(error.code) : undefined;
      if (how !== undefined) await handlers.turnedAway(how, details);
      await sleep(backoffMs(backoff, failures, Math.random()), closing.signal);
    }
  };
  const keeping = keep().catch((error: unknown) => {
    if (!closing.signal.aborted) log.error({ err: error }, 'the link is not opened again');
  });

  return {
    get up() {
      return stream !== undefined;
    },
    send(message) {
      if (stream === undefined || full) return false;
      if (!stream.write(message)) {
        // This message is taken; the next is not until the stream has room.
        full = true;
        room = deferred();
      }
      return true;
    },
    async room(signal) {
      while (stream === undefined || full) {
        signal.throwIfAborted();
        await orAborted(room.promise, signal);
      }
    },
    async close() {
      closing.abort(new Error('closed'));
      await keeping;
      client.close();
    },
  };
}

function turnedAway(code: number): 'unknown' | 'refused' | undefined {
  if (unknown.has(code)) return 'unknown';
  return refusals.has(code) ? 'refused' : undefined;
}

async function orAborted(promise: Promise<unknown>, signal: AbortSignal): Promise<void> {
  const aborted = deferred<undefined>();
  const onAbort = (): void => aborted.reject(abortError(signal));
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
