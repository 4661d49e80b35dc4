/**
 * The session of one agent process, put together: registration, the NATS channel, the gRPC link, calls. Each comes back
 * by itself; what only a new registration can repair (expired NATS credentials, a coordinator that does not know the
 * agent any more) registers anew.
 */
import { backoffMs } from '../../shared/async/backoff.js';
import { sleep } from '../../shared/async/sleep.js';
import type { Logger } from '../../shared/log.js';
import { attemptRefToWire } from '../../shared/wire/refs.js';
import { reportToWire } from '../../shared/wire/report.js';
import { fleetCalls, type CoordinatorAddress } from './grpc-calls.js';
import { openLink, type GrpcLink } from './grpc-link.js';
import { presignObject, uploadGrant } from './grpc-presign.js';
import { secretsOf } from './grpc-secrets.js';
import { agentBearer, type Identity } from './identity.js';
import { receive } from './grpc-receive.js';
import { openAgentChannel, type AgentChannel } from './nats-agent-channel.js';
import { natsAccess, register, type Offer, type Registration } from './registration.js';
import { SessionRefused, type Session, type SessionHandlers } from './session.js';

export interface SessionOptions extends Offer {
  readonly coordinator: CoordinatorAddress;
  /** Absent: the agent has registered before. */
  readonly joinToken?: string;
  readonly identity: Identity;
  readonly log: Logger;
}

const backoff = { firstMs: 200, maxMs: 5_000 };

export function createSession(options: SessionOptions): Session {
  const { coordinator, identity, log } = options;
  const bearer = agentBearer(identity);
  const calls = fleetCalls({ coordinator, bearer, log });
  const closing = new AbortController();
  const counter = { value: 0 };
  let handlers: SessionHandlers | undefined;
  let link: GrpcLink | undefined;
  let channel: AgentChannel | undefined;
  let channels: Promise<void> = Promise.resolve();
  let registering: Promise<Registration> | undefined;

  /** One registration at a time: link and channel may want one at once. */
  const registerOnce = (signal: AbortSignal): Promise<Registration> => {
    registering ??= register({
      calls,
      identity,
      offer: options,
      joinToken: options.joinToken,
      log,
      signal,
    }).finally(() => {
      registering = undefined;
    });
    return registering;
  };
  const given = (): SessionHandlers => {
    if (handlers === undefined) throw new Error('the session was not started');
    return handlers;
  };

  const openChannel = (registration: Registration, signal: AbortSignal): Promise<AgentChannel> =>
    openAgentChannel({
      identity,
      access: registration.nats,
      prefix: registration.prefix,
      heartbeatMs: registration.heartbeatMs,
      version: options.version,
      counter,
      renew: async (renewal) => natsAccess(await calls.renew(identity.natsUser.publicKey, renewal)),
      handlers: {
        assign: (assignment) => given().assign(assignment),
        end: ({ ref, token, why, by }) => given().end(ref, token, why, by),
        drain: (draining) => given().drain(draining),
        heartbeat: (number) => ({
          ...given().heartbeat(),
          agent: identity.agent,
          instance: identity.instance,
          number,
        }),
      },
      log,
      signal,
    });

  /** Keeps a channel open: when one is gone for good, registers anew. Ends when the coordinator refuses. */
  const keepChannel = async (first: AgentChannel): Promise<void> => {
    let current = first;
    for (let failures = 0; ; failures++) {
      channel = current;
      const openedAt = performance.now();
      const reason = await current.closed;
      channel = undefined;
      if (closing.signal.aborted) return;
      log.warn({ reason: reason?.message }, 'the NATS connection is gone; registering anew');
      if (performance.now() - openedAt > 60_000) failures = 0;
      for (;;) {
        await sleep(backoffMs(backoff, failures, Math.random()), closing.signal);
        const registration = await registerOnce(closing.signal);
        try {
          current = await openChannel(registration, closing.signal);
          break;
        } catch (error) {
          closing.signal.throwIfAborted();
          log.warn({ err: error }, 'NATS refused the new credentials; trying again');
          failures++;
        }
      }
    }
  };
  const giveUp = (error: unknown): void => {
    if (closing.signal.aborted) return;
    if (!(error instanceof SessionRefused)) log.error({ err: error }, 'the session failed');
    handlers?.refused(error instanceof Error ? error.message : String(error));
  };

  return {
    async start(handlersGiven, signal) {
      handlers = handlersGiven;
      const either = AbortSignal.any([signal, closing.signal]);
      const registration = await registerOnce(either);
      log.info({ agent: identity.agent, name: options.name }, 'registered');
      link = openLink({
        coordinator,
        bearer,
        log,
        handlers: {
          hello: () => ({
            agent: identity.agent,
            instance: identity.instance,
            attempts: handlersGiven
              .held()
              .map(({ token, ...ref }) => ({ ref: attemptRefToWire(ref), token })),
          }),
          up: () => {
            handlersGiven.linkUp();
            channel?.heartbeatNow();
          },
          down: () => handlersGiven.linkDown(),
          message: (message) => receive(message, handlersGiven, log),
          async turnedAway(how, details) {
            try {
              if (how === 'refused') throw new SessionRefused(details);
              await registerOnce(closing.signal);
            } catch (error) {
              giveUp(error);
              throw error;
            }
          },
        },
      });
      const first = await openChannel(registration, either);
      channels = keepChannel(first).catch(giveUp);
    },
    get linked() {
      return link?.up === true;
    },
    report: ({ ref, token, n, at, report }) =>
      link?.send({ report: reportToWire({ ref, token, n, ageMs: Date.now() - at, report }) }) === true,
    log: ({ ref, token, step, offset, bytes, at }) =>
      link?.send({
        log: { ref: attemptRefToWire(ref), token, step, offset, bytes, ageMs: Math.max(0, Date.now() - at) },
      }) === true,
    progress({ ref, token, activity, fraction }) {
      link?.send({
        progress: {
          ref: attemptRefToWire(ref),
          token,
          activity,
          ...(fraction === undefined ? {} : { fraction }),
        },
      });
    },
    async drained(signal) {
      if (link === undefined) throw new Error('the session was not started');
      await link.room(signal);
    },
    presign: (ref, token, object, signal) => presignObject(calls, { ref, token, object }, signal),
    secrets: (ref, token, signal) => secretsOf(calls, { ref, token }, signal),
    upload: (ref, token, artifact) => uploadGrant(calls, { ref, token, artifact }),
    heartbeatNow: () => channel?.heartbeatNow(),
    get heartbeatNumber() {
      return counter.value;
    },
    async close() {
      closing.abort(new Error('the session is closed'));
      await Promise.all([link?.close(), channel?.close()]);
      await channels;
      calls.close();
    },
  };
}
