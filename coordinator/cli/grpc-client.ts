/** The coordinator as commands see it: the services for people of proto/gantry/v1 with promises, async iterables and `CliError`. */
import { Client, credentials, Metadata, type ClientReadableStream, type ServiceError } from '@grpc/grpc-js';
import { isIP } from 'node:net';
import { checkServerIdentity } from 'node:tls';
import type { MethodDefinition } from '@grpc/proto-loader';
import type { AccessDefinition } from '../../shared/wire/gen/gantry/v1/Access.js';
import type { EnvironmentsDefinition } from '../../shared/wire/gen/gantry/v1/Environments.js';
import type { GateDefinition } from '../../shared/wire/gen/gantry/v1/Gate.js';
import type { ProjectsDefinition } from '../../shared/wire/gen/gantry/v1/Projects.js';
import type { RunsDefinition } from '../../shared/wire/gen/gantry/v1/Runs.js';
import { channelOptions, loadContract } from '../../shared/wire/grpc-contract.js';
import type { Connection } from './connection.js';
import { toCliError } from './grpc-explain.js';

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

/** A service without streams: its methods by their names in lower camel case. The definition's index signature is left out. */
type UnaryService<Definition> = {
  readonly [
    M in keyof Definition as string extends M ? never : number extends M ? never : Uncapitalize<M & string>
  ]: Definition[M] extends MethodDefinition<infer In, object, object, infer Out>
    ? (request: In, options?: CallOptions) => Promise<Out>
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
  readonly projects: UnaryService<ProjectsDefinition>;
  readonly gate: UnaryService<GateDefinition>;
  readonly environments: UnaryService<EnvironmentsDefinition>;
  readonly access: UnaryService<AccessDefinition>;
  close(): void;
}

export function connect(connection: Connection): RunsApi {
  const contract = loadContract();
  const { service } = contract.Runs;
  const projects = contract.Projects.service;
  const gate = contract.Gate.service;
  const environments = contract.Environments.service;
  const access = contract.Access.service;
  const client = newClient(connection);
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
    projects: {
      add: unary(projects.Add),
      set: unary(projects.Set),
      remove: unary(projects.Remove),
      show: unary(projects.Show),
      list: unary(projects.List),
      poll: unary(projects.Poll),
      run: unary(projects.Run),
      hook: unary(projects.Hook),
      deliveries: unary(projects.Deliveries),
      setSecret: unary(projects.SetSecret),
      listSecrets: unary(projects.ListSecrets),
      removeSecret: unary(projects.RemoveSecret),
    },
    gate: {
      land: unary(gate.Land),
      list: unary(gate.List),
      show: unary(gate.Show),
      eject: unary(gate.Eject),
      pause: unary(gate.Pause),
      resume: unary(gate.Resume),
      protect: unary(gate.Protect),
    },
    environments: {
      add: unary(environments.Add),
      set: unary(environments.Set),
      remove: unary(environments.Remove),
      list: unary(environments.List),
      show: unary(environments.Show),
      diff: unary(environments.Diff),
      hold: unary(environments.Hold),
      resume: unary(environments.Resume),
      settle: unary(environments.Settle),
      approve: unary(environments.Approve),
      reject: unary(environments.Reject),
      rollback: unary(environments.Rollback),
    },
    access: {
      addUser: unary(access.AddUser),
      setUser: unary(access.SetUser),
      removeUser: unary(access.RemoveUser),
      listUsers: unary(access.ListUsers),
      createToken: unary(access.CreateToken),
      listTokens: unary(access.ListTokens),
      revokeToken: unary(access.RevokeToken),
      audit: unary(access.Audit),
      whoAmI: unary(access.WhoAmI),
    },
    close: () => client.close(),
  };
}

function newClient({ address, tls }: Connection): Client {
  if (tls === undefined) return new Client(address, credentials.createInsecure(), channelOptions);
  const ca = tls.ca === undefined ? null : Buffer.from(tls.ca);
  const host = address.slice(0, address.lastIndexOf(':')).replace(/^\[|\]$/g, '');
  if (isIP(host) === 0) return new Client(address, credentials.createSsl(ca), channelOptions);
  // An address is no name that a server may be asked for in the handshake (RFC 6066; Node warns of it); the
  // certificate is checked against the address all the same.
  const checked = credentials.createSsl(ca, null, null, {
    checkServerIdentity: (_name, certificate) => checkServerIdentity(host, certificate),
  });
  return new Client(address, checked, { ...channelOptions, 'grpc.ssl_target_name_override': 'coordinator' });
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
