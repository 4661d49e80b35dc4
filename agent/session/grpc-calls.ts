/**
 * The unary calls of `Fleet`. A coordinator that is away is asked again until it answers or the caller's signal aborts;
 * an answer that says no is thrown as SessionRefused.
 */
import {
  credentials,
  Metadata,
  status,
  type CallOptions,
  type ChannelCredentials,
  type ClientUnaryCall,
  type ServiceError,
} from '@grpc/grpc-js';

import { backoffMs } from '../../shared/async/backoff.js';
import { abortError, sleep } from '../../shared/async/sleep.js';
import type { Logger } from '../../shared/log.js';
import type { FinishUploadRequest } from '../../shared/wire/gen/gantry/v1/FinishUploadRequest.js';
import type { NatsAccess__Output } from '../../shared/wire/gen/gantry/v1/NatsAccess.js';
import type { PresignRequest } from '../../shared/wire/gen/gantry/v1/PresignRequest.js';
import type { PresignResponse__Output } from '../../shared/wire/gen/gantry/v1/PresignResponse.js';
import type { RegisterRequest } from '../../shared/wire/gen/gantry/v1/RegisterRequest.js';
import type { RegisterResponse__Output } from '../../shared/wire/gen/gantry/v1/RegisterResponse.js';
import type { SecretsRequest } from '../../shared/wire/gen/gantry/v1/SecretsRequest.js';
import type { SecretsResponse__Output } from '../../shared/wire/gen/gantry/v1/SecretsResponse.js';
import { channelOptions, loadContract } from '../../shared/wire/grpc-contract.js';
import { SessionRefused } from './session.js';

export interface CoordinatorAddress {
  /** `host:port` */
  readonly address: string;
  /** PEM of the authority that signed the coordinator's certificate; absent: those the system trusts. */
  readonly ca?: Buffer;
  /** Without TLS: on loopback, or where the network is trusted. */
  readonly insecure: boolean;
}

export interface FleetCalls {
  register(request: RegisterRequest, bearer: string, signal: AbortSignal): Promise<RegisterResponse__Output>;
  renew(natsUser: string, signal: AbortSignal): Promise<NatsAccess__Output>;
  presign(request: PresignRequest, signal: AbortSignal): Promise<PresignResponse__Output>;
  secrets(request: SecretsRequest, signal: AbortSignal): Promise<SecretsResponse__Output>;
  finishUpload(request: FinishUploadRequest, signal: AbortSignal): Promise<void>;
  close(): void;
}

type Invoke<In, Out> = (
  request: In,
  metadata: Metadata,
  options: CallOptions,
  callback: (error: ServiceError | null, answer?: Out) => void,
) => ClientUnaryCall;

const callMs = 15_000;
const warnEveryMs = 10_000;
const backoff = { firstMs: 100, maxMs: 1_000 };

/** The coordinator did not say no; it did not answer, or failed: the same call may succeed later. */
const transient: ReadonlySet<number> = new Set([
  status.UNAVAILABLE,
  status.DEADLINE_EXCEEDED,
  status.RESOURCE_EXHAUSTED,
  status.ABORTED,
  status.INTERNAL,
  status.UNKNOWN,
  status.CANCELLED,
]);

export const channelCredentials = ({ ca, insecure }: CoordinatorAddress): ChannelCredentials =>
  insecure ? credentials.createInsecure() : credentials.createSsl(ca ?? null);

export function bearerMetadata(bearer: string): Metadata {
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${bearer}`);
  return metadata;
}

/** `bearer`: of the registered agent, for all calls but `register`. */
export function fleetCalls(options: {
  readonly coordinator: CoordinatorAddress;
  readonly bearer: string;
  readonly log: Logger;
}): FleetCalls {
  const { coordinator, log } = options;
  const { Fleet } = loadContract();
  const client = new Fleet(coordinator.address, channelCredentials(coordinator), channelOptions);
  let warnedAt = -Infinity;

  const call = async <In, Out>(
    invoke: Invoke<In, Out>,
    request: In,
    bearer: string,
    signal: AbortSignal,
  ): Promise<Out> => {
    for (let failures = 0; ; failures++) {
      signal.throwIfAborted();
      try {
        return await once(invoke, request, bearer, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!isServiceError(error)) throw error;
        if (!transient.has(error.code)) throw new SessionRefused(error.details, { cause: error });
        if (performance.now() - warnedAt >= warnEveryMs) {
          warnedAt = performance.now();
          log.warn(
            { coordinator: coordinator.address },
            `the coordinator does not answer (${error.details}): is it running, and is this its address? Trying again`,
          );
        }
        await sleep(backoffMs(backoff, failures, Math.random()), signal);
      }
    }
  };

  return {
    register: (request, bearer, signal) => call(client.Register.bind(client), request, bearer, signal),
    renew: (natsUser, signal) => call(client.Renew.bind(client), { natsUser }, options.bearer, signal),
    presign: (request, signal) => call(client.Presign.bind(client), request, options.bearer, signal),
    secrets: (request, signal) => call(client.Secrets.bind(client), request, options.bearer, signal),
    finishUpload: async (request, signal) => {
      await call(client.FinishUpload.bind(client), request, options.bearer, signal);
    },
    close: () => client.close(),
  };
}

function once<In, Out>(
  invoke: Invoke<In, Out>,
  request: In,
  bearer: string,
  signal: AbortSignal,
): Promise<Out> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      call.cancel();
      reject(abortError(signal));
    };
    const call = invoke(
      request,
      bearerMetadata(bearer),
      { deadline: Date.now() + callMs },
      (error, answer) => {
        signal.removeEventListener('abort', onAbort);
        if (error !== null) reject(error);
        else if (answer === undefined) reject(new Error('an answer without a message'));
        else resolve(answer);
      },
    );
    signal.addEventListener('abort', onAbort, { once: true });
  });
}

export function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && typeof error.code === 'number' && 'details' in error;
}
