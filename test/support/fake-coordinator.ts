/**
 * A coordinator at the protocol: real gRPC on a real port, with answers that a test decides. For the agent's session,
 * whose other side it is.
 */
import {
  Server,
  ServerCredentials,
  status,
  type Metadata,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type sendUnaryData,
} from '@grpc/grpc-js';

import type { AgentMessage__Output } from '../../shared/wire/gen/gantry/v1/AgentMessage.js';
import type { CoordinatorMessage } from '../../shared/wire/gen/gantry/v1/CoordinatorMessage.js';
import type { FinishUploadRequest__Output } from '../../shared/wire/gen/gantry/v1/FinishUploadRequest.js';
import type { NatsAccess } from '../../shared/wire/gen/gantry/v1/NatsAccess.js';
import type { PresignRequest__Output } from '../../shared/wire/gen/gantry/v1/PresignRequest.js';
import type { PresignResponse } from '../../shared/wire/gen/gantry/v1/PresignResponse.js';
import type { RegisterRequest__Output } from '../../shared/wire/gen/gantry/v1/RegisterRequest.js';
import type { RegisterResponse } from '../../shared/wire/gen/gantry/v1/RegisterResponse.js';
import { loadContract } from '../../shared/wire/grpc-contract.js';

export class Refusal extends Error {
  constructor(
    readonly code: status,
    message: string,
  ) {
    super(message);
  }
}

export type LinkStream = ServerDuplexStream<AgentMessage__Output, CoordinatorMessage>;

export interface Answers {
  register(request: RegisterRequest__Output, bearer: string): RegisterResponse;
  renew(natsUser: string, bearer: string): NatsAccess;
  presign(request: PresignRequest__Output): PresignResponse;
  finishUpload(request: FinishUploadRequest__Output): void;
  /** The stream is open; nothing of it was read. */
  link(stream: LinkStream, bearer: string): void;
}

export interface FakeCoordinator {
  readonly address: string;
  /** Ends all streams at once, like a process that dies. */
  stop(): void;
}

export async function startFakeCoordinator(answers: Answers, port = 0): Promise<FakeCoordinator> {
  const { Fleet, AgentLink } = loadContract();
  const server = new Server();
  const unary =
    <In, Out>(answer: (request: In, bearer: string) => Out) =>
    (call: ServerUnaryCall<In, Out>, callback: sendUnaryData<Out>): void => {
      try {
        callback(null, answer(call.request, bearerOf(call.metadata)));
      } catch (error) {
        if (error instanceof Refusal) callback({ code: error.code, details: error.message });
        else callback({ code: status.INTERNAL, details: String(error) });
      }
    };
  server.addService(Fleet.service, {
    Register: unary((request: RegisterRequest__Output, bearer) => answers.register(request, bearer)),
    Renew: unary((request: { natsUser?: string }, bearer) => answers.renew(request.natsUser ?? '', bearer)),
    Presign: unary((request: PresignRequest__Output) => answers.presign(request)),
    FinishUpload: unary((request: FinishUploadRequest__Output) => {
      answers.finishUpload(request);
      return {};
    }),
  });
  server.addService(AgentLink.service, {
    Open: (stream: LinkStream) => {
      stream.on('error', () => undefined);
      answers.link(stream, bearerOf(stream.metadata));
    },
  });
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, at) => {
      if (error === null) resolve(at);
      else reject(error);
    });
  });
  return { address: `127.0.0.1:${bound}`, stop: () => server.forceShutdown() };
}

export function turnAway(stream: LinkStream, code: status, details: string): void {
  // How grpc-js takes the status of a server's stream.
  stream.emit('error', { code, details });
}

const bearerOf = (metadata: Metadata): string =>
  String(metadata.get('authorization')[0] ?? '').replace(/^Bearer /, '');
