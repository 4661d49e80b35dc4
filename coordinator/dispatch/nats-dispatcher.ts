/** Speaks to agents by NATS requests, and hears their heartbeats. */
import { NatsError } from 'nats';

import type { Logger } from '../../shared/log.js';
import type { Heartbeat } from '../../shared/model/agent.js';
import { parseAgentId, type AgentId } from '../../shared/model/ids.js';
import type { NatsLink } from '../../shared/nats/nats-connection.js';
import type { AgentVerb, NatsNames } from '../../shared/nats/names.js';
import type { Dispatcher } from './dispatcher.js';
import { parseAssignAnswer, parseHeartbeat } from './messages.js';

export interface NatsDispatcher extends Dispatcher {
  /** Heartbeats dropped as malformed or of another agent than their subject. */
  readonly droppedHeartbeats: number;
}

/** An agent answers as soon as the assignment is on its disk: milliseconds. */
const answerWithinMs = 1_000;
const warnEveryMs = 60_000;

type Answer = { readonly kind: 'text'; readonly text: string } | { readonly kind: 'no-responder' | 'silent' };

export function natsDispatcher(options: {
  readonly link: NatsLink;
  readonly names: NatsNames;
  readonly log: Logger;
}): NatsDispatcher {
  const { link, names, log } = options;
  const listeners: ((heartbeat: Heartbeat) => void)[] = [];
  let dropped = 0;
  let warnedAt = -Infinity;

  const ask = async (agent: AgentId, verb: AgentVerb, body: unknown): Promise<Answer> => {
    if (link.disconnected.aborted) return { kind: 'silent' };
    try {
      const message = await link.nc.request(names.agentSubject(agent, verb), JSON.stringify(body), {
        timeout: answerWithinMs,
      });
      return { kind: 'text', text: message.string() };
    } catch (error) {
      return { kind: error instanceof NatsError && error.code === '503' ? 'no-responder' : 'silent' };
    }
  };
  const drop = (subject: string): void => {
    dropped++;
    if (performance.now() - warnedAt < warnEveryMs) return;
    warnedAt = performance.now();
    log.warn(
      { subject, dropped },
      'dropped a heartbeat that is malformed or of another agent than its subject',
    );
  };
  const listen = (): void => {
    const prefix = names.heartbeatSubjects.slice(0, -1);
    link.nc.subscribe(names.heartbeatSubjects, {
      // Never `message.respond()`: the reply subject is the sender's to choose, and would be answered with all rights
      // of the coordinator (a heartbeat with the reply `gantry.journal` would write to the journal).
      callback: (error, message) => {
        if (error !== null) {
          log.error({ err: error }, 'heartbeats cannot be heard');
          return;
        }
        const agent = parseAgentId(message.subject.slice(prefix.length));
        const heartbeat = parseHeartbeat(message.string());
        if (heartbeat === undefined || heartbeat.agent !== agent) {
          drop(message.subject);
          return;
        }
        for (const listener of listeners) listener(heartbeat);
      },
    });
  };

  return {
    async assign(agent, assignment) {
      const answer = await ask(agent, 'assign', assignment);
      return answer.kind === 'text' ? parseAssignAnswer(answer.text) : { kind: answer.kind };
    },
    async end(agent, what) {
      await ask(agent, 'cancel', what);
    },
    async drain(agent, draining) {
      await ask(agent, 'drain', { draining });
    },
    onHeartbeat(listener) {
      if (listeners.length === 0) listen();
      listeners.push(listener);
    },
    get droppedHeartbeats() {
      return dropped;
    },
  };
}
