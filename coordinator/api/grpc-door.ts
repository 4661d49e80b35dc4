/**
 * The one door into the API. A service is registered as
 *
 *   export const grpcProjects = (services: Services): Guarded<'Projects'> =>
 *     guard(services, 'Projects', {
 *       Show: async (request, { user, reach, signal }) => …,     // unary: a promise
 *       …                                                        // a server stream: an async generator
 *     });
 *
 * and each handler is called only after the table (`access/rights.ts`) has let the caller in. What it is given follows
 * from its row: `user` for people, and `reach` where the row says `projects`; `agent` for agents. A handler whose row
 * says `projects` and which has not taken `reach` from its call cannot answer: the call fails. Take it, and then
 *
 *   - look things up among `reach.has(project)` only; what is outside does not exist for the caller: `not-found`
 *   - filter lists by it
 *   - for a project that the caller named: `demand(reach, project)`, which says `forbidden`
 */
import type {
  Metadata,
  ServerDuplexStream,
  ServerUnaryCall,
  ServerWritableStream,
  ServiceError,
  UntypedServiceImplementation,
  sendUnaryData,
} from '@grpc/grpc-js';
import type { ProjectId } from '../../shared/model/ids.js';
import { loadContract } from '../../shared/wire/grpc-contract.js';
import type { AgentCaller, Caller, JoinCaller, UserCaller } from '../access/caller.js';
import type { Reach } from '../access/reach.js';
import {
  table,
  type Method,
  type Rule,
  type RuleOf,
  type Service,
  type ServiceHandlers,
} from '../access/rights.js';
import { ApiError } from './api-error.js';
import { admit, checkStanding } from './auth.js';
import { isPrivateChannel } from './grpc-channel.js';
import { bearerOf, callSignal, drained, failureOf } from './grpc-status.js';
import type { Services } from './services.js';

interface AnyCall {
  /** Aborts when the caller hung up. */
  readonly signal: AbortSignal;
  /** Where the connection comes from: `127.0.0.1:40000`, `[::1]:40000`. */
  readonly peer: string;
  /** Nobody on the way can read the answer: TLS, or a caller on this machine. */
  readonly isPrivate: boolean;
}
export interface UserCall extends AnyCall {
  readonly user: UserCaller;
}
export interface ProjectCall extends UserCall {
  readonly reach: Reach;
}
export interface AgentCall extends AnyCall {
  readonly agent: AgentCaller;
}
export interface JoinCall extends AnyCall {
  readonly joiner: JoinCaller | AgentCaller;
}

type CallOf<R extends Rule> = R extends { readonly who: 'people'; readonly about: 'projects' }
  ? ProjectCall
  : R extends { readonly who: 'people' }
    ? UserCall
    : R extends { readonly who: 'agent' }
      ? AgentCall
      : JoinCall;

/** What a method does, by the kind of its handler in the contract. */
type Work<Handler, Call> = Handler extends (
  call: ServerUnaryCall<infer In, infer Out>,
  callback: sendUnaryData<infer _Out>,
) => void
  ? (request: In, call: Call) => Promise<Out> | Out
  : Handler extends (call: ServerWritableStream<infer In, infer Out>) => void
    ? (request: In, call: Call) => AsyncIterable<Out>
    : Handler extends (call: ServerDuplexStream<infer In, infer Out>) => void
      ? (stream: ServerDuplexStream<In, Out>, call: Call) => void
      : never;

/** All methods of the service; one that is missing, here or in the table, does not compile. */
export type Works<S extends Service> = {
  readonly [M in Method<S>]: Work<ServiceHandlers[S][M], CallOf<RuleOf<S, M>>>;
};

declare const guarded: unique symbol;
/** What `startApi` takes: only `guard` makes it. */
export type Guarded<S extends Service> = UntypedServiceImplementation & { readonly [guarded]: S };

export function guard<S extends Service>(services: Services, service: S, works: Works<S>): Guarded<S> {
  const definitions: Readonly<Record<string, { requestStream: boolean; responseStream: boolean }>> =
    loadContract()[service].service;
  const rules: Readonly<Record<string, Rule>> = table[service];
  const handlers: UntypedServiceImplementation = {};
  for (const [method, work] of Object.entries(works)) {
    const definition = definitions[method];
    const rule = rules[method];
    if (definition === undefined || rule === undefined) throw new Error(`${service}.${method} has no rule`);
    // `Works` says that each work has the form of its method, which the definition tells apart at run time.
    if (definition.requestStream) handlers[method] = duplex(services, rule, work as DuplexWork);
    else if (definition.responseStream) handlers[method] = streaming(services, rule, work as StreamWork);
    else handlers[method] = unary(services, rule, work as UnaryWork);
  }
  // The brand says no more than that the handlers were made here.
  return handlers as Guarded<S>;
}

/** Throws forbidden: for a project that the caller named, so that there is nothing to hide. */
export function demand(reach: Reach, project: { readonly id: ProjectId; readonly name: string }): void {
  if (reach.has(project.id)) return;
  throw new ApiError(
    'forbidden',
    `your token does not reach project ${project.name}: it is limited to ${reach.description}`,
  );
}

type UnaryWork = (request: unknown, call: object) => unknown;
type StreamWork = (request: unknown, call: object) => AsyncIterable<unknown>;
type DuplexWork = (stream: ServerDuplexStream<unknown, unknown>, call: object) => void;

interface Admission {
  readonly caller: Caller;
  readonly call: object;
  /** Throws when the handler has not asked what the caller may reach, and should have. */
  checkAsked(): void;
}

async function admission(
  services: Services,
  rule: Rule,
  from: { readonly metadata: Metadata } & Parameters<typeof isPrivateChannel>[0],
  signal: AbortSignal,
): Promise<Admission> {
  const caller = await admit(services, rule, bearerOf(from.metadata));
  const peer = from.getPeer();
  const isPrivate = isPrivateChannel(from);
  let asked = false;
  const nothing = (): void => undefined;
  switch (caller.kind) {
    case 'agent':
      return {
        caller,
        call: { ...(rule.who === 'join' ? { joiner: caller } : { agent: caller }), signal, peer, isPrivate },
        checkAsked: nothing,
      };
    case 'join':
      return { caller, call: { joiner: caller, signal, peer, isPrivate }, checkAsked: nothing };
    case 'user':
      return {
        caller,
        call: {
          user: caller,
          signal,
          peer,
          isPrivate,
          get reach() {
            asked = true;
            return caller.reach;
          },
        },
        checkAsked: () => {
          if (!asked && rule.who === 'people' && rule.about === 'projects') {
            throw new Error('a handler about projects did not ask which of them its caller reaches');
          }
        },
      };
  }
}

function unary(services: Services, rule: Rule, work: UnaryWork) {
  return (call: ServerUnaryCall<unknown, unknown>, callback: sendUnaryData<unknown>): void => {
    const answer = async (): Promise<unknown> => {
      const admitted = await admission(services, rule, call, callSignal(call));
      const answered = await work(call.request, admitted.call);
      admitted.checkAsked();
      return answered;
    };
    answer().then(
      (message) => callback(null, message),
      (error: unknown) => callback(failureOf(error, services.log)),
    );
  };
}

/** Streams what the generator yields, no faster than the caller reads, and no longer than their token is good. */
function streaming(services: Services, rule: Rule, work: StreamWork) {
  return (call: ServerWritableStream<unknown, unknown>): void => {
    const signal = callSignal(call);
    const pump = async (): Promise<void> => {
      const admitted = await admission(services, rule, call, signal);
      for await (const message of work(call.request, admitted.call)) {
        if (signal.aborted) return;
        admitted.checkAsked();
        checkStanding(services, admitted.caller);
        if (!call.write(message)) await drained(call, signal);
      }
      admitted.checkAsked();
    };
    pump().then(
      () => call.end(),
      (error: unknown) => {
        if (signal.aborted) call.end();
        // `emit` is how grpc-js takes a status for a server stream.
        else call.emit('error', failureOf(error, services.log) satisfies Partial<ServiceError>);
      },
    );
  };
}

function duplex(services: Services, rule: Rule, work: DuplexWork) {
  return (stream: ServerDuplexStream<unknown, unknown>): void => {
    // Without a listener a stream that breaks meanwhile would end the process.
    stream.on('error', () => undefined);
    // What the caller sends before it is let in waits in the stream.
    stream.pause();
    const signal = callSignal(stream);
    admission(services, rule, stream, signal).then(
      ({ call }) => {
        if (!signal.aborted) work(stream, call);
      },
      (error: unknown) => {
        if (!signal.aborted) stream.emit('error', failureOf(error, services.log));
      },
    );
  };
}
