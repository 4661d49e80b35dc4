/**
 * Publishing into a stream with its acknowledgement. `js.publish` is a request with a timer and a promise chain each;
 * here one inbox, one map and one timer serve all publishes in flight, and a break of the connection settles them at
 * once (the client itself would leave them to their timeouts).
 */
import { createInbox, headers as createHeaders, type Msg, type MsgHdrs } from 'nats';

import type { NatsLink } from './nats-connection.js';

export type PublishOutcome =
  | { readonly kind: 'stored'; readonly sequence: number }
  /** The stream said no. `code`: JetStream's `err_code`, e.g. 10071 wrong last sequence, 10077 full. */
  | { readonly kind: 'refused'; readonly code: number; readonly message: string }
  /** It may be stored or not. */
  | { readonly kind: 'unknown'; readonly message: string };

export interface Publisher {
  /** Never rejects. Publishes of one publisher reach the stream in the order of the calls. */
  publish(
    subject: string,
    payload: Uint8Array,
    headers?: Readonly<Record<string, string>>,
  ): Promise<PublishOutcome>;
  close(): void;
}

interface Pending {
  readonly settle: (outcome: PublishOutcome) => void;
  readonly deadline: number;
}

/** Not stored because the stream, its account or the server's disk is full: what was refused may fit later. */
export const isFull = (code: number): boolean =>
  code === 10077 || code === 10047 || code === 10028 || code === 10023 || code === 10002;
/** The expected last sequence (or message id) was not the last one. */
export const isWrongLast = (code: number): boolean => code === 10071 || code === 10070;

export function createPublisher({ link, timeoutMs }: { link: NatsLink; timeoutMs: number }): Publisher {
  const { nc } = link;
  const inbox = createInbox();
  const pending = new Map<string, Pending>();
  let counter = 0;
  let watched: AbortSignal | undefined;

  const settle = (token: string, outcome: PublishOutcome): void => {
    const waiting = pending.get(token);
    if (waiting === undefined) return; // answered after its deadline
    pending.delete(token);
    waiting.settle(outcome);
  };
  const settleAll = (message: string): void => {
    for (const token of [...pending.keys()]) settle(token, { kind: 'unknown', message });
  };
  const subscription = nc.subscribe(`${inbox}.*`, {
    callback: (error, message) => {
      if (error === null) settle(message.subject.slice(inbox.length + 1), outcomeOf(message));
      else settleAll(error.message);
    },
  });
  // Entries are in the order of their deadlines: the sweep stops at the first that has time left.
  const sweep = setInterval(() => {
    const now = performance.now();
    for (const [token, { deadline }] of pending) {
      if (deadline > now) break;
      settle(token, { kind: 'unknown', message: `no acknowledgement within ${timeoutMs} ms` });
    }
  }, 250);
  sweep.unref();
  const onBreak = (): void => {
    settleAll('the connection to NATS broke');
  };

  return {
    publish(subject, payload, fields) {
      const { disconnected } = link;
      // What is published while disconnected gets no answer: say so at once instead.
      if (disconnected.aborted || nc.isClosed())
        return Promise.resolve({ kind: 'unknown', message: 'NATS is disconnected' });
      if (watched !== disconnected) {
        watched = disconnected;
        disconnected.addEventListener('abort', onBreak, { once: true });
      }
      return new Promise((resolve) => {
        const token = (counter++).toString(36);
        pending.set(token, { settle: resolve, deadline: performance.now() + timeoutMs });
        try {
          const reply = `${inbox}.${token}`;
          nc.publish(
            subject,
            payload,
            fields === undefined ? { reply } : { reply, headers: headersOf(fields) },
          );
        } catch (error) {
          settle(token, { kind: 'unknown', message: error instanceof Error ? error.message : String(error) });
        }
      });
    },
    close() {
      clearInterval(sweep);
      settleAll('closed');
      watched?.removeEventListener('abort', onBreak);
      if (!nc.isClosed()) subscription.unsubscribe();
    },
  };
}

function headersOf(fields: Readonly<Record<string, string>>): MsgHdrs {
  const headers = createHeaders();
  for (const [name, value] of Object.entries(fields)) headers.set(name, value);
  return headers;
}

function outcomeOf(message: Msg): PublishOutcome {
  // No stream, or JetStream not ready (a cluster that elects a leader): an empty body that is no JSON.
  if (message.data.length === 0)
    return {
      kind: 'unknown',
      message: `JetStream does not answer (${message.headers?.code ?? 'empty answer'})`,
    };
  const answer = message.json<{
    seq?: number;
    error?: { code?: number; err_code?: number; description?: string };
  }>();
  if (answer.error !== undefined)
    return {
      kind: 'refused',
      code: answer.error.err_code ?? answer.error.code ?? 0,
      message: answer.error.description ?? 'refused',
    };
  return answer.seq === undefined
    ? { kind: 'unknown', message: 'an acknowledgement without a sequence' }
    : { kind: 'stored', sequence: answer.seq };
}
