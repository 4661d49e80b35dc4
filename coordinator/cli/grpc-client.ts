/** The coordinator as commands see it: `Runs` of proto/gantry/v1 with promises, async iterables and `CliError`. */
import {
  Client,
  credentials,
  Metadata,
  status,
  type ClientReadableStream,
  type ServiceError,
} from '@grpc/grpc-js';
import type { MethodDefinition } from '@grpc/proto-loader';
import type { RunsDefinition } from '../../shared/wire/gen/gantry/v1/Runs.js';
import { channelOptions, loadContract } from '../../shared/wire/grpc-contract.js';
import { CliError, UnreachableError } from './cli-error.js';
import type { Connection } from './connection.js';
import { exitCodes, type ExitCode } from './exit-codes.js';

/** Unary calls answer within this; `Submit` and `Diagnose` do real work first. */
const deadlineMs = 10_000;

type Unary = {
  [M in keyof RunsDefinition]: RunsDefinition[M] extends MethodDefinition<infer In, object, object, infer Out>
    ? (request: In, options?: CallOptions) => Promise<Out>
    : never;
};
type Streaming = {
  [M in 'Watch' | 'Logs']: RunsDefinition[M] extends MethodDefinition<infer In, object, object, infer Out>
    ? (request: In, signal?: AbortSignal) => AsyncIterable<Out>
    : never;
};

export interface CallOptions {
  readonly timeoutMs?: number;
}

export interface RunsApi {
  readonly address: string;
  readonly show: Unary['Show'];
  readonly list: Unary['List'];
  readonly prepareSource: Unary['PrepareSource'];
  readonly submit: Unary['Submit'];
  readonly why: Unary['Why'];
  readonly cancel: Unary['Cancel'];
  readonly retry: Unary['Retry'];
  readonly artifacts: Unary['Artifacts'];
  readonly listAgents: Unary['ListAgents'];
  readonly drainAgent: Unary['DrainAgent'];
  readonly createJoinToken: Unary['CreateJoinToken'];
  readonly diagnose: Unary['Diagnose'];
  /** Streams end without an error when their signal aborts. */
  readonly watch: Streaming['Watch'];
  readonly logs: Streaming['Logs'];
  close(): void;
}

export function connect(connection: Connection): RunsApi {
  const service = loadContract().Runs.service;
  const channel =
    connection.tls === undefined
      ? credentials.createInsecure()
      : credentials.createSsl(connection.tls.ca === undefined ? null : Buffer.from(connection.tls.ca));
  const client = new Client(connection.address, channel, channelOptions);
  const metadata = (): Metadata => {
    const all = new Metadata();
    if (connection.token !== '') all.set('authorization', `Bearer ${connection.token}`);
    return all;
  };

  const unary =
    <In extends object, Out extends object>(method: MethodDefinition<In, object, object, Out>) =>
    (request: In, options: CallOptions = {}): Promise<Out> =>
      new Promise((resolve, reject) => {
        client.makeUnaryRequest(
          method.path,
          method.requestSerialize,
          method.responseDeserialize,
          request,
          metadata(),
          { deadline: Date.now() + (options.timeoutMs ?? deadlineMs) },
          (error, response) => {
            if (error !== null) reject(toCliError(error, connection));
            else if (response === undefined) reject(new Error(`${method.path} was answered with nothing`));
            else resolve(response);
          },
        );
      });

  const streaming =
    <In extends object, Out extends object>(method: MethodDefinition<In, object, object, Out>) =>
    (request: In, signal?: AbortSignal): AsyncIterable<Out> =>
      readStream(
        () =>
          client.makeServerStreamRequest(
            method.path,
            method.requestSerialize,
            method.responseDeserialize,
            request,
            metadata(),
            {},
          ),
        connection,
        signal,
      );

  return {
    address: connection.address,
    show: unary(service.Show),
    list: unary(service.List),
    prepareSource: unary(service.PrepareSource),
    submit: unary(service.Submit),
    why: unary(service.Why),
    cancel: unary(service.Cancel),
    retry: unary(service.Retry),
    artifacts: unary(service.Artifacts),
    listAgents: unary(service.ListAgents),
    drainAgent: unary(service.DrainAgent),
    createJoinToken: unary(service.CreateJoinToken),
    diagnose: unary(service.Diagnose),
    watch: streaming(service.Watch),
    logs: streaming(service.Logs),
    close: () => client.close(),
  };
}

/** Reading as fast as the caller takes it: the call is paused by the iterator's own buffer (16 messages). */
async function* readStream<Out>(
  open: () => ClientReadableStream<Out>,
  connection: Connection,
  signal: AbortSignal | undefined,
): AsyncIterable<Out> {
  if (signal?.aborted === true) return;
  const call = open();
  const cancel = (): void => call.cancel();
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    // The iterator of a Node stream knows no element type; the definition's deserializer made each of them.
    for await (const message of call as AsyncIterable<Out>) yield message;
  } catch (error) {
    if (isAborted(signal)) return;
    throw isServiceError(error) ? toCliError(error, connection) : error;
  } finally {
    signal?.removeEventListener('abort', cancel);
    call.on('error', () => {
      // Canceling ends the call with an error that nobody waits for any more.
    });
    call.cancel();
  }
}

/** Asked anew after each await; a plain test is taken by the compiler for what it was before. */
const isAborted = (signal: AbortSignal | undefined): boolean => signal?.aborted === true;

const isServiceError = (error: unknown): error is ServiceError =>
  error instanceof Error && 'code' in error && typeof error.code === 'number' && 'details' in error;

function toCliError(error: ServiceError, connection: Connection): CliError {
  const { exitCode, message, remedies } = explain(error, connection);
  if (exitCode === exitCodes.unreachable) {
    return new UnreachableError(message, { remedies, cause: error, reached: !neverConnected(error) });
  }
  return new CliError(exitCode, message, { remedies, cause: error });
}

interface Explanation {
  readonly exitCode: ExitCode;
  readonly message: string;
  readonly remedies: readonly string[];
}

/** What a gRPC status means to the person who typed the command. Also used by tests as a table. */
export function explain(
  error: Pick<ServiceError, 'code' | 'details'>,
  connection: Pick<Connection, 'address' | 'from' | 'tls' | 'token'>,
): Explanation {
  const { address } = connection;
  const details = error.details;
  switch (error.code) {
    case status.INVALID_ARGUMENT:
    case status.OUT_OF_RANGE:
      return { exitCode: exitCodes.usage, message: details, remedies: [] };
    case status.NOT_FOUND:
      return { exitCode: exitCodes.notFound, message: details, remedies: [] };
    case status.UNAUTHENTICATED:
      return {
        exitCode: exitCodes.refused,
        message: `the coordinator at ${address} does not accept the token: ${details}`,
        remedies: [
          connection.token === ''
            ? 'no token was given: use --token or GANTRY_TOKEN, or the context that `gantry up` makes'
            : `check --token, GANTRY_TOKEN or the context (the address comes from ${connection.from})`,
        ],
      };
    case status.PERMISSION_DENIED:
      return { exitCode: exitCodes.refused, message: `not allowed: ${details}`, remedies: [] };
    case status.FAILED_PRECONDITION:
    case status.ALREADY_EXISTS:
    case status.RESOURCE_EXHAUSTED:
    case status.ABORTED:
      return { exitCode: exitCodes.refused, message: details, remedies: [] };
    case status.UNIMPLEMENTED:
      return {
        exitCode: exitCodes.refused,
        message: `the coordinator at ${address} does not know this command (${details})`,
        remedies: ['it is of another version than this `gantry`: upgrade the older one'],
      };
    case status.UNAVAILABLE:
    case status.DEADLINE_EXCEEDED:
      return unreachable(error, connection);
    case status.CANCELLED:
      return { exitCode: exitCodes.interrupted, message: 'interrupted', remedies: [] };
    case status.OK:
    case status.UNKNOWN:
    case status.INTERNAL:
    case status.DATA_LOSS:
      return {
        exitCode: exitCodes.ours,
        message: `the coordinator at ${address} failed: ${details}`,
        remedies: ['its log says more; please report this'],
      };
  }
}

function unreachable(
  { code, details }: Pick<ServiceError, 'code' | 'details'>,
  connection: Pick<Connection, 'address' | 'from' | 'tls'>,
): Explanation {
  const { address, from } = connection;
  if (code === status.UNAVAILABLE && !neverConnected({ details }) && !/connection dropped/i.test(details)) {
    return {
      exitCode: exitCodes.unreachable,
      message: `the coordinator at ${address} cannot answer now: ${details}`,
      remedies: ['try again in a moment; `gantry doctor` says what it waits for'],
    };
  }
  const why =
    code === status.DEADLINE_EXCEEDED
      ? 'no answer in time'
      : (/connect E[A-Z]+ \S*[^\s.]|E[A-Z]{3,} \S+/.exec(details)?.[0] ?? details);
  const remedies = [
    from === 'the default address' || /^(127\.|localhost|\[::1\])/.test(address)
      ? 'start one with `gantry up` (everything on this machine) or `gantry coordinator`'
      : `check that it runs there (the address comes from ${from}), or name another with --coordinator HOST:PORT`,
  ];
  if (/wrong version number|EPROTO|ECONNRESET|Protocol error|RST_STREAM/i.test(details)) {
    remedies.push(
      connection.tls === undefined
        ? 'it may speak TLS: give its authority with --ca FILE'
        : 'it may not speak TLS: leave out --ca and https://',
    );
  }
  return {
    exitCode: exitCodes.unreachable,
    message: `no coordinator answers at ${address} (${why})`,
    remedies,
  };
}

/** What the connection itself says; anything else that is UNAVAILABLE was said by a coordinator. */
const neverConnected = ({ details }: Pick<ServiceError, 'details'>): boolean =>
  /ECONNREFUSED|No connection established|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|name resolution/i.test(
    details,
  );
