/**
 * The agent's side of NATS: its numbered heartbeat, and the three requests that a coordinator makes of it. The
 * connection is the agent's own user, which may publish its heartbeat, answer what it is asked, and nothing else.
 */
import type { Msg } from 'nats';

import { sleep } from '../../shared/async/sleep.js';
import type { Logger } from '../../shared/log.js';
import type { AssignAnswer, Assignment, Heartbeat } from '../../shared/model/agent.js';
import { connectNats, type NatsAuth, type NatsLink } from '../../shared/nats/nats-connection.js';
import { natsNames, type AgentVerb } from '../../shared/nats/names.js';
import type { Identity } from './identity.js';
import { parseAssignment, parseDrain, parseEnd, type EndRequest } from './messages.js';
import type { NatsAccess } from './registration.js';

export interface ChannelHandlers {
  assign(assignment: Assignment): Promise<AssignAnswer>;
  end(request: EndRequest): void;
  drain(draining: boolean): void;
  /** What the heartbeat says now. */
  heartbeat(number: number): Heartbeat;
}

export interface AgentChannel {
  heartbeatNow(): void;
  /** Resolves when the connection is gone for good: credentials expired or were refused. */
  readonly closed: Promise<Error | undefined>;
  close(): Promise<void>;
}

export async function openAgentChannel(options: {
  readonly identity: Identity;
  readonly access: NatsAccess;
  readonly prefix: string;
  readonly heartbeatMs: number;
  readonly version: string;
  /** The number of the last heartbeat of this instance; goes on counting over channels. */
  readonly counter: { value: number };
  /** New access before the old one expires; retries by itself. Rejects when it is refused. */
  readonly renew: (signal: AbortSignal) => Promise<NatsAccess>;
  readonly handlers: ChannelHandlers;
  readonly log: Logger;
  readonly signal: AbortSignal;
}): Promise<AgentChannel> {
  const { identity, prefix, counter, handlers, log } = options;
  const names = natsNames(prefix);
  let { access } = options;
  const link = await connectNats({
    servers: access.servers,
    auth: authOf(identity, () => access),
    ...(access.ca === undefined ? {} : { ca: access.ca }),
    name: `agent ${identity.agent}`,
    log,
    closeWhenRefused: true,
    signal: options.signal,
  });
  const { nc } = link;
  const stop = new AbortController();

  link.onRefused((operation, subject) => {
    log.error({ operation, subject }, 'NATS refused this: a bug in the agent, or something else runs as it');
  });

  const heartbeat = (): void => {
    if (link.disconnected.aborted || nc.isClosed()) return; // numbered when it is sent: none is missed
    counter.value++;
    nc.publish(names.heartbeatSubject(identity.agent), JSON.stringify(handlers.heartbeat(counter.value)));
  };
  const listen = (verb: AgentVerb, handle: (text: string) => Promise<unknown> | undefined): void => {
    nc.subscribe(names.agentSubject(identity.agent, verb), {
      callback: (error, message) => {
        if (error !== null) log.error({ err: error, verb }, 'requests of the coordinator cannot be heard');
        else void answer(message, handle, log);
      },
    });
  };
  listen('assign', (text) => assign(text, options));
  listen('cancel', (text) => {
    handlers.end(parseEnd(text));
    return undefined;
  });
  listen('drain', (text) => {
    handlers.drain(parseDrain(text).draining);
    return undefined;
  });
  // The subscriptions are at the server before the first heartbeat says that this agent takes work.
  await nc.flush();
  heartbeat();
  const timer = setInterval(heartbeat, options.heartbeatMs);
  let soon: NodeJS.Immediate | undefined;

  void keepRenewed({
    link,
    access: () => access,
    renew: options.renew,
    renewed: (next) => {
      access = next;
    },
    log,
    signal: stop.signal,
  });
  const end = (): void => {
    clearInterval(timer);
    if (soon !== undefined) clearImmediate(soon);
    stop.abort(new Error('the channel is closed'));
  };
  const closed = link.closed.then((error) => {
    end();
    return error;
  });
  return {
    // Several things that change in one turn are one heartbeat.
    heartbeatNow() {
      soon ??= setImmediate(() => {
        soon = undefined;
        heartbeat();
      });
    },
    closed,
    async close() {
      if (soon !== undefined) heartbeat(); // the last word, e.g. `away`
      end();
      if (!nc.isClosed() && !link.disconnected.aborted) await nc.flush().catch(() => undefined); // on its way out
      await link.close();
    },
  };
}

async function assign(
  text: string,
  options: { readonly handlers: ChannelHandlers; readonly version: string; readonly log: Logger },
): Promise<AssignAnswer> {
  try {
    return await options.handlers.assign(parseAssignment(text));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    options.log.error({ err: error }, 'an assignment could not be taken');
    return { kind: 'refused', reason: `agent version ${options.version} cannot take it: ${reason}` };
  }
}

/** Answers once: the server drops a second answer. */
async function answer(
  message: Msg,
  handle: (text: string) => Promise<unknown> | undefined,
  log: Logger,
): Promise<void> {
  try {
    const body = await handle(message.string());
    message.respond(JSON.stringify(body ?? {}));
  } catch (error) {
    log.error({ err: error, subject: message.subject }, 'a request of the coordinator was not understood');
    message.respond(JSON.stringify({ error: error instanceof Error ? error.message : String(error) }));
  }
}

function authOf(identity: Identity, access: () => NatsAccess): NatsAuth {
  const { credentials } = access();
  return credentials.kind === 'static'
    ? { kind: 'password', user: credentials.user, password: credentials.password }
    : {
        kind: 'jwt',
        key: identity.natsUser,
        jwt: () => {
          const now = access().credentials;
          return now.kind === 'jwt' ? now.jwt : '';
        },
      };
}

/**
 * At half of its life a JWT is renewed and the connection made anew with it: 17 ms without requests being heard, where
 * waiting for the server to end it at the expiry would take 100.
 */
async function keepRenewed(options: {
  readonly link: NatsLink;
  readonly access: () => NatsAccess;
  readonly renew: (signal: AbortSignal) => Promise<NatsAccess>;
  readonly renewed: (access: NatsAccess) => void;
  readonly log: Logger;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { link, signal } = options;
  try {
    for (;;) {
      const { credentials } = options.access();
      if (credentials.kind === 'static') return;
      await sleep(Math.max(500, credentials.expiresInMs / 2), signal);
      options.renewed(await options.renew(signal));
      await link.whenUp(signal);
      await link.nc.reconnect();
    }
  } catch (error) {
    // Refused, or closed. The connection ends with its JWT, and the owner registers anew.
    if (!signal.aborted) options.log.warn({ err: error }, 'NATS credentials were not renewed');
  }
}
