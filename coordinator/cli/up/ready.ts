/** Whether somebody does a daemon's work now; asked again and again while starting. Who it is, `port-holder.ts` says. */
import { connect as connectTcp } from 'node:net';
import { UnreachableError } from '../cli-error.js';
import type { Connection } from '../connection.js';
import type { Context } from '../context.js';
import type { RunsApi } from '../grpc-client.js';

/** A NATS server greets with its INFO line, with and without TLS. */
export function natsAnswers(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectTcp({ host, port });
    const done = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(1000, () => done(false));
    socket.once('error', () => done(false));
    socket.once('data', (data) => done(data.toString('latin1').startsWith('INFO ')));
  });
}

/** Whether somebody takes connections there. */
export function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectTcp({ host, port });
    const done = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(1000, () => done(false));
    socket.once('error', () => done(false));
    socket.once('connect', () => done(true));
  });
}

/** Any answer will do: without credentials an S3 server says no, but it says it. */
export async function httpAnswers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(1000) });
    await response.body?.cancel();
    return true;
  } catch (error) {
    // A certificate that this process does not know was shown by a server that runs.
    const cause = error instanceof Error ? error.cause : undefined;
    return (
      cause instanceof Error &&
      'code' in cause &&
      /CERT|SELF_SIGNED|UNABLE_TO_VERIFY/.test(String(cause.code))
    );
  }
}

export async function answers(api: Pick<RunsApi, 'listAgents'>): Promise<boolean> {
  try {
    await api.listAgents({}, { timeoutMs: 2000 });
    return true;
  } catch (error) {
    if (error instanceof UnreachableError) return false;
    throw error;
  }
}

/** Whether so many of the agents that `up` starts take stages. */
export async function agentsReady(api: Pick<RunsApi, 'listAgents'>, wanted: number): Promise<boolean> {
  const { agents = [] } = await api.listAgents({});
  const working = agents.filter((agent) => agent.status === 'idle' || agent.status === 'busy');
  return working.filter((agent) => /^agent-\d+$/.test(agent.name ?? '')).length >= wanted;
}

export const hostOf = (url: string): string => new URL(url).hostname.replace(/^\[|\]$/g, '');

/** How a context's coordinator proves itself. */
export function tlsOf(context: Context): Pick<Connection, 'tls'> {
  if (context.ca !== undefined) return { tls: { ca: context.ca } };
  return context.tls === true ? { tls: {} } : {};
}
